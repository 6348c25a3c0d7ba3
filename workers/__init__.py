"""Celery: when the work is done."""
