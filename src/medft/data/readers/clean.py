"""Removes what web pages leave in text: tags, character entities, irregular white space."""

import html
import re

# Only names that HTML has, and only attributes with a value, so that "p <0.05" and "a<b then c>d" stay as they are.
_NAMES = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|li|ol|p|pre|q|s|small|span|"
    "strike|strong|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul"
)
_ATTRIBUTE = r"""\s+[\w-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG = re.compile(rf"</?(?:{_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
# what a page does not show: its beginning and its end
_HIDDEN = [
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (("<!--", "-->"), (r"<script\b", r"</script\s*>"), (r"<style\b", r"</style\s*>"))
]
# sub- and superscripts, bold and the like stand inside words; the others between them
_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|em|font|i|q|s|small|span|strike|strong|sub|sup|tt|u)\b", re.IGNORECASE
)
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean_text(text: str) -> str:
    """Remove HTML tags, comments, entities and invisible characters, and reduce each run of white space to one space.

    Entities are resolved once: `&amp;lt;` becomes `&lt;`, which is what its author wrote.
    """
    for opening, closing in _HIDDEN:  # an opening that is never closed stays in the text
        kept, at = [], 0
        while (begin := opening.search(text, at)) and (end := closing.search(text, begin.end())):
            kept.append(text[at : begin.start()])
            at = end.end()
        text = " ".join([*kept, text[at:]])
    text = _TAG.sub(lambda tag: "" if _INLINE.match(tag[0]) else " ", text)
    return " ".join(_INVISIBLE.sub("", html.unescape(text)).split())
