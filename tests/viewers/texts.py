"""A text that tries to be anything but a text, and what a page shows of it."""

LETTERS = "w" * 10_000
HOSTILE = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'><b>bold</b>\n"
    "\n"
    "\n"
    "a sum $x^2$ and $$y$$ and \\(z\\) &amp; \\begin{equation}q\\end{equation}\n"
    "\x1b[31mred\x1b[0m \x1b[8mhidden\x1b[0m\n"
    "\u202eturned\u202c \u05d0\u05d1\u05d2 \u200fmark\n"
    f"{LETTERS}\n"
    "</td></tr></table></div></details><style>* { display: none }</style> the end"
)
SHOWN = (  # each a line as it is to be seen
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'><b>bold</b>",
    "a sum $x^2$ and $$y$$ and \\(z\\) &amp; \\begin{equation}q\\end{equation}",
    "␛[31mred␛[0m ␛[8mhidden␛[0m",
    "⟨U+202E⟩turned⟨U+202C⟩ \u05d0\u05d1\u05d2 \u200fmark",
    LETTERS,
    "</td></tr></table></div></details><style>* { display: none }</style> the end",
)
