"""Templates: values put in, and nothing else that a template can do."""

from __future__ import annotations

import pytest

from relay.mail.template import BadTemplate, render

VALUES = {"name": "Bob <b>", "items": ["a", "b"], "who": {"city": "Ulm"}, "n": 3}


def test_values_are_put_in_and_escaped_in_html() -> None:
    source = "Hi {{ name }}{% if n > 2 %}, {{ who.city | upper }}{% endif %}: " \
             "{% for one in items %}[{{ one }}]{% endfor %}"  # fmt: skip
    assert render(source, VALUES) == "Hi Bob <b>, ULM: [a][b]"
    assert render(source, VALUES, html=True) == "Hi Bob &lt;b&gt;, ULM: [a][b]"


def test_a_name_without_a_value_is_a_problem() -> None:
    found = render("Hi {{ nmae }}", VALUES)
    assert found == BadTemplate("cannot be filled in: 'nmae' is undefined")


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ name.__class__.__mro__ }}",
        "{{ name['__class__'] }}",
        "{{ who.items() }}",
        "{{ range(9) }}",
        "{% for a in items %}{% for b in items %}x{% endfor %}{% endfor %}",
        "{% for a in items recursive %}{{ loop(items) }}{% endfor %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% macro m() %}{% endmacro %}",
        "{% set x = 1 %}",
        "{{ name | center(1000000000) }}",
        "{{ 'x' | replace('', name) }}",
        "{{ name ~ name }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{",
        "{{ name }}" * 3000,
        "x" * 600_000,
        "{% if a %}" * 300,
    ],
)
def test_what_is_not_listed_is_not_understood(source: str) -> None:
    found = render(source, VALUES)
    assert isinstance(found, BadTemplate), found[:100]
