"""What a reply to ListObjectsV2 says, but for the owners that nobody asked for."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from oqkit.store.base import Entry, Page


def parse_listing(body: bytes, *, root: str) -> Page:
    """Read the XML of a ListObjectsV2 reply; keys lose the store's prefix."""
    tree = ET.fromstring(body)  # noqa: S314 - as botocore does; expat limits how entities may grow
    space = tree.tag[: tree.tag.rindex("}") + 1] if "}" in tree.tag else ""
    plain = _plain if tree.findtext(f"{space}EncodingType") == "url" else str
    cut = len(root)
    entries = tuple(
        Entry(
            key=plain(child.findtext(f"{space}Key", ""))[cut:],
            etag=child.findtext(f"{space}ETag", ""),
            size_bytes=int(child.findtext(f"{space}Size", "0")),
            modified_s=_epoch_s(child.findtext(f"{space}LastModified", "")),
        )
        for child in tree.iterfind(f"{space}Contents")
    )
    found = tree.iterfind(f"{space}CommonPrefixes/{space}Prefix")
    folders = tuple(plain(child.text or "")[cut:] for child in found)
    items = [*(entry.key for entry in entries), *folders]
    # SeaweedFS lists "a/" before "a-", and its token is the item it listed last (in a versioned bucket it adds
    # ".versions"). The tokens of others are riddles, but they list in order.
    token = plain(tree.findtext(f"{space}NextContinuationToken", ""))[cut:].removesuffix(".versions")
    last = token if token in items else max(items, default=None)
    return Page(entries=entries, folders=folders, next=last if tree.findtext(f"{space}IsTruncated") == "true" else None)


def _epoch_s(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Decode a key; nearly all of them have slashes to decode and nothing else, which is ten times as quick."""
    text = text.replace("%2F", "/")
    return unquote_plus(text) if "%" in text or "+" in text else text
