"""Some of the end-to-end tests on a Redis Cluster; `make test-cluster` runs all of them so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import test_messages, test_operators, test_outcomes
from tests.support.cluster import SETTINGS, ClusterStore
from tests.support.site import Site
from tests.support.system import System


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[System]:
    """As in conftest.py, on a cluster."""
    variables = {"RELAY_RETRY__FIRST": "1s", "RELAY_DELIVERY__PRIVATE_TARGETS": "127.0.0.0/13"}
    with System(site, variables | SETTINGS, store=ClusterStore()) as made:
        yield made


test_octets = test_messages.test_the_octets_that_were_submitted_are_sent
test_recipients = test_messages.test_recipients_in_one_domain_share_a_transaction_and_domains_do_not
test_many = test_messages.test_more_than_a_hundred_recipients_in_a_domain_take_several_transactions
test_busy = test_messages.test_messages_for_one_host_share_its_connections
test_show = test_operators.test_show_tells_of_each_recipient_what_became_of_it
test_bounce = test_outcomes.test_the_sender_of_a_bounced_message_gets_one_dsn
test_expiry = test_outcomes.test_what_is_too_old_expires_and_its_sender_is_told
