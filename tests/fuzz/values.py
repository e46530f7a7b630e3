"""Values that no setting takes, and texts of every kind."""

from hypothesis import strategies as st

NOT_A_NUMBER = st.sampled_from(
    [
        ".nan",
        ".inf",
        "-.inf",
        "1e999",
        "true",
        "'3'",
        "many",
        "[]",
        "[1]",
        "{}",
        "{a: 1}",
        "2024-01-01",
        "1:30",
        "!!set {a}",
    ]
)
NOT_AN_INTEGER = NOT_A_NUMBER | st.sampled_from(["1.5", "1e-3", "null x", "0x", "1_0", "9" * 50])
TEXTS = st.text(max_size=30) | st.text("[]{}&*!|>%@`'\",:-?#= \n\tab01.", max_size=40)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file's bytes cut, flipped, inserted into or overwritten at some places."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["cut", "flip", "insert", "overwrite", "drop"])):
            case "cut":
                del data[place:]
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=20))
            case "overwrite":
                new = draw(st.binary(min_size=1, max_size=20))
                data[place : place + len(new)] = new
            case "drop":
                del data[place : place + draw(st.integers(1, 50))]
    return bytes(data)


class Files(dict[str, bytes]):
    """Paths and contents, shown without the contents."""

    def __repr__(self) -> str:
        return f"files: {', '.join(f'{path!r} ({len(content)} bytes)' for path, content in self.items())}"
