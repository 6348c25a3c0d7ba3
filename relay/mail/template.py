"""Templates: a message's subject, text and HTML with values put in, in a sandbox (Jinja2).

Whoever writes a template may be a stranger, so only what is listed here is understood: names,
`if`, `for` over a value (not within another one) and some filters. No calls, no arithmetic, no
attributes: nothing in a template can take long, get big, or reach out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

#: Characters of a template and of what is made of it, and elements in a template, at most.
LONGEST_SOURCE = 512 << 10
LONGEST_RESULT = 2 << 20
MOST_NODES = 2000

_FILTERS = frozenset(
    (
        *("capitalize", "default", "d", "e", "escape", "first", "int", "join", "last", "length"),
        *("lower", "replace", "round", "striptags", "title", "trim", "truncate", "upper"),
        *("urlencode", "urlize"),
    )
)
_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.Getitem,
    nodes.Getattr,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Test,
    nodes.For,
    nodes.Tuple,
)
#: Names that mean something of Jinja2's own.
_OWN = frozenset(("self", "super", "caller", "varargs", "kwargs"))
_TESTS = frozenset(("defined", "undefined", "none", "eq", "ne", "in", "string", "number"))


class BadTemplate(Struct, frozen=True):
    """Why a template cannot be filled in."""

    why: str


class _Sandbox(ImmutableSandboxedEnvironment):
    """Attributes are a mapping's items alone."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`value.name` for a mapping."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a mapping or a sequence; an attribute never."""
        try:
            return obj[argument]
        except (KeyError, IndexError, TypeError):
            return self.undefined(obj=obj, name=str(argument))


def _sandbox(*, html: bool) -> _Sandbox:
    made = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=html)
    made.globals.clear()
    return made


_PLAIN, _HTML = _sandbox(html=False), _sandbox(html=True)


def render(source: str, values: Mapping[str, object], *, html: bool = False) -> str | BadTemplate:
    """The text with values put in; in HTML they are escaped."""
    template = _template(source, html)
    if isinstance(template, BadTemplate):
        return template
    size = 0
    pieces = []
    try:
        for piece in template.generate(values):
            size += len(piece)
            if size > LONGEST_RESULT:
                return BadTemplate(f"makes more than {LONGEST_RESULT} characters")
            pieces.append(piece)
    except TemplateError as error:
        return BadTemplate(f"cannot be filled in: {error.message}")
    except (TypeError, ValueError, OverflowError, ArithmeticError, RecursionError) as error:
        return BadTemplate(f"cannot be filled in: {error}")
    return "".join(pieces)


@lru_cache(maxsize=256)
def _template(source: str, html: bool) -> Template | BadTemplate:
    if len(source) > LONGEST_SOURCE:
        return BadTemplate(f"is a template of more than {LONGEST_SOURCE} characters")
    environment = _HTML if html else _PLAIN
    try:
        tree = environment.parse(source)
        if fault := next(_faults(tree), ""):
            return BadTemplate(f"is a template with {fault}, which is not understood here")
        return environment.from_string(tree)
    except TemplateError as error:
        return BadTemplate(f"is no good template: {error.message}")
    except RecursionError:
        return BadTemplate("is a template that is nested too deeply")


def _faults(tree: nodes.Template) -> Iterator[str]:
    """What in the tree is not listed above."""
    for count, node in enumerate(tree.find_all(nodes.Node)):
        if count > MOST_NODES:
            yield f"more than {MOST_NODES} elements"
            return
        if not isinstance(node, _NODES):
            yield type(node).__name__.lower()
        elif isinstance(node, nodes.Filter) and (node.name not in _FILTERS or _grows(node)):
            yield f"the filter {node.name}"
        elif isinstance(node, nodes.Name) and node.name in _OWN:
            yield f"the name {node.name}"
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            yield f"the test {node.name}"
        elif isinstance(node, nodes.For) and (
            node.recursive or next(iter(_inner(node)), None) is not None
        ):
            yield "a loop within a loop"


def _inner(loop: nodes.For) -> Iterator[nodes.Node]:
    for child in loop.body + loop.else_:
        if isinstance(child, nodes.For):
            yield child
        yield from child.find_all(nodes.For)


def _grows(node: nodes.Filter) -> bool:
    """Whether a filter may make much of little: `replace` by more than a word or two."""
    return node.name == "replace" and any(
        not isinstance(one, nodes.Const) or len(str(one.value)) > 64 for one in node.args
    )
