"""Master keys: what wraps the data keys, and is never in MongoDB."""

from mongostore.protection.master_keys.aws_kms import AwsKmsMasterKey
from mongostore.protection.master_keys.chain import MasterKeyChain
from mongostore.protection.master_keys.local import LocalMasterKey
from mongostore.protection.master_keys.protocol import MasterKey, checked_master_key

__all__ = ["AwsKmsMasterKey", "LocalMasterKey", "MasterKey", "MasterKeyChain", "checked_master_key"]
