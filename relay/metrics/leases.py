"""Leases: granted, renewed, lost, and what their loss may have doubled."""

from __future__ import annotations

from relay.metrics.declare import counter

LEASED = counter("relay_leases_granted_total", "Deliveries leased.")
EXTENDED = counter("relay_leases_extended_total", "Leases renewed while their attempt ran.")
RELEASED = counter(
    "relay_leases_released_total", "Leases handed back with nothing attempted; no attempt counts."
)
LOST = counter(
    "relay_leases_lost_total",
    "Leases that their holder found gone when it renewed, released or settled.",
)
FENCED = counter(
    "relay_settles_fenced_total",
    "Outcomes that the store refused, as another holds the delivery. The recipients may have got "
    "the message: see relay_possible_doubles_total.",
)
RECLAIMED = counter("relay_leases_reclaimed_total", "Expired leases taken back from dead holders.")
POSSIBLE_DOUBLES = counter(
    "relay_possible_doubles_total",
    "Leases that ended without a settle while their message may have been sent. Real doubles are "
    "at most as many; most are none.",
)
