"""Accepting a message: the one way in for every kind of producer, DSNs included."""

from relay.submission.submission import Accepted, Submission
from relay.submission.submitter import CONFLICT, FULL, SHARE, Submitter

__all__ = ["CONFLICT", "FULL", "SHARE", "Accepted", "Submission", "Submitter"]
