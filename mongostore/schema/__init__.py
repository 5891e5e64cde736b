"""The database's indexes and validators: compared with what they should be, and brought there, at every deployment."""

from mongostore.schema.apply import Applied, apply_schema, check_schema, plan_schema
from mongostore.schema.plan import Change, Drift, Plan
from mongostore.schema.progress import Progress

__all__ = ["Applied", "Change", "Drift", "Plan", "Progress", "apply_schema", "check_schema", "plan_schema"]
