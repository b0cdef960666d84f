"""Fifty texts that a page which does not escape would run, break on or be fooled by, and jobs full of them."""

from __future__ import annotations

from dataclasses import replace

from tests.notebook.world import failures

CORPUS = (
    "<script>alert(1)</script>",
    "<ScRiPt>alert(2)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "</script><script>alert(3)</script>",
    "<img src=x onerror=alert(4)>",
    "<img src='x' onerror='alert(5)'>",
    '"><img src=x onerror=alert(6)>',
    "'><img src=x onerror=alert(7)>",
    "<svg onload=alert(8)>",
    "<svg/onload=alert(9)>",
    "<svg><script>alert(10)</script></svg>",
    "<svg><animate onbegin=alert(11) attributeName=x dur=1s>",
    "<iframe src=javascript:alert(12)></iframe>",
    "<iframe srcdoc='<script>alert(13)</script>'></iframe>",
    "<object data=javascript:alert(14)></object>",
    "<embed src=javascript:alert(15)>",
    "<a href=javascript:alert(16)>click</a>",
    "<a href='data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=='>x</a>",
    "<form action=javascript:alert(17)><input type=submit></form>",
    "<button formaction=javascript:alert(18)>x</button>",
    "<input autofocus onfocus=alert(19)>",
    "<select autofocus onfocus=alert(20)>",
    "<textarea autofocus onfocus=alert(21)>",
    "<video><source onerror=alert(22)></video>",
    "<audio src=x onerror=alert(23)>",
    "<details open ontoggle=alert(24)>x</details>",
    "</details></pre></div></div><script>alert(25)</script>",
    "</style><script>alert(26)</script>",
    "</textarea><script>alert(27)</script>",
    "</title><script>alert(28)</script>",
    "<!-- <script>alert(29)</script> -->",
    "--><script>alert(30)</script>",
    "<![CDATA[<script>alert(31)</script>]]>",
    "<math><mtext></mtext><script>alert(32)</script></math>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(33)'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>body{display:none}</style>",
    '" onmouseover="alert(34)',
    "' onmouseover='alert(35)",
    "` onmouseover=`alert(36)",
    '" style="position:fixed;inset:0" x="',
    "&lt;script&gt;alert(37)&lt;/script&gt;",
    "&#60;script&#62;alert(38)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(39)\\u003c/script\\u003e",
    "{{constructor.constructor('alert(40)')()}}",
    "${alert(41)}",
    "javascript:alert(42)//<svg onload=alert(42)>",
    "\x1b[2J\x1b[31mred\x07\u202egnp.exe",
    '<noscript><p title="</noscript><img src=x onerror=alert(43)>">',
)


def hostile(world, text, *, name=None):
    """Return a job with a foreign text wherever one can be: name, tag, input, worker, error and traceback."""
    job = world.queue.map("work", [{text: text}] * 10, name=name or text, part_rows=10)
    tags = {"tag": text}  # as somebody else may have written it
    world.repository.update_job(job.id, lambda doc: replace(doc, tags=tags), applied=lambda doc: doc.tags == tags)
    job = world.queue.job(job.id)
    output = failures(range(2), kind=text, message=text, traceback=f"Traceback\n{text}", worker=text)
    world.write(job, 0, [("failed", 2), ("running", 8)], output="o", outputs={"o": output}, worker=text)
    return job
