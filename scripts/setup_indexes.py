#!/usr/bin/env python
"""Make the indexes and validators of a database: `mongostore schema` under the name that a deployment looks for."""

import argparse
import sys

from mongostore.cli import execute, schema

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=schema.HELP)
    schema.add_arguments(parser)
    sys.exit(execute(parser))
