"""Pages as a browser reads them."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Page(HTMLParser):
    """The tags, attributes, visible text, nesting errors and tables of a page.

    A table is a list of rows, a row a list of the texts of its cells.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.in_word = False
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        self.text = self._words(0)

    def _words(self, start: int) -> str:
        return " ".join(" ".join(self.pieces[start:]).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.in_word = tag == "wbr" and bool(self.pieces)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.start = len(self.pieces)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._words(self.start))

    def handle_data(self, data):
        if self.in_word:
            self.pieces[-1] += data
            self.in_word = False
        else:
            self.pieces.append(data)
