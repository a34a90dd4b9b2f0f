"""XML of a device, which may be anybody's: parsed without entities, and of bounded size, depth and number.

SOAP allows no document type declaration (SOAP 1.2 part 1, section 5), and every way to make a parser expand,
fetch or loop begins with one: it is refused where it begins. Namespaces are left out of names, since devices
are careless with them: what is looked for is unique by its local name.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_XML_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ELEMENTS = 20_000
MAX_TEXT = 2048  # characters of one value; an address may be as long


class BadXml(Exception):
    """Raised for what is no XML, or more than a device has to say. The text is one line."""


def parse(raw: bytes) -> Element:
    """The root; tags and attributes are local names. Raise BadXml."""
    if len(raw) > MAX_XML_BYTES:
        raise BadXml(f"is longer than {MAX_XML_BYTES >> 10} KiB")
    tree = _Tree()
    try:
        tree.parser.Parse(raw, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise BadXml(f"is no XML ({error})") from error
    return tree.builder.close()


def value(element: Element | None, *path: str) -> str:
    """The text of the first element below, by local names, stripped; "" where there is none."""
    found = first(element, *path)
    return "" if found is None else (found.text or "").strip()[:MAX_TEXT]


def first(element: Element | None, *path: str) -> Element | None:
    """The first element at `path`: each of its names is looked for at any depth below the one before."""
    for name in path:
        if element is None:
            return None
        element = next((below for below in element.iter(name) if below is not element), None)
    return element


class _Tree:
    def __init__(self) -> None:
        self.builder = TreeBuilder()
        self.parser = expat.ParserCreate(namespace_separator="}")
        self._depth = self._elements = 0
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.builder.data

    def _refuse(self, *_: object) -> None:
        raise BadXml("has a document type declaration, which SOAP forbids")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise BadXml(f"has over {MAX_ELEMENTS} elements, or is nested deeper than {MAX_DEPTH}")
        self.builder.start(_local(name), {_local(key): text for key, text in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.builder.end(_local(name))


def _local(name: str) -> str:
    return name.rpartition("}")[2]
