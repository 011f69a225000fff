"""Exports as platforms make them, small, with every trap that real ones have. Written for the
tests; no real person's words or data are in them."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

Files = dict[str, str | bytes]
FORBIDDEN = "PRIVATE-AND-NEVER-READ"


def zipped(path: Path, files: Files) -> Path:
    """The files in a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpacked(folder: Path, files: Files) -> Path:
    """The files in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


def table(columns: list[str], *rows: list[str]) -> str:
    """A CSV file."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


# Medium

FIRST = "1a2b3c4d5e6f"
SECOND = "2b3c4d5e6f70"


def medium_story(
    title: str,
    body: str,
    id_: str,
    published: str | None = "2019-03-04T05:06:07.000Z",
    canonical: str | None = None,
    tags: bool = True,
    subtitle: str | None = "The first words, c…",
) -> str:
    """A story's file. Without a time it is a draft; responses have no tags and no subtitle."""
    summary = (
        f'<section data-field="subtitle" class="p-summary">{subtitle}</section>' if subtitle else ""
    )
    tag = '<p>Tagged in <a href="#" class="p-tag">Metal</a></p>' if tags else ""
    link = canonical or f"https://medium.com/@ada/{title.lower().replace(' ', '-')}-{id_}"
    dated = (
        f'<p>By <a href="https://medium.com/@ada" class="p-author h-card">Ada Writer</a> on '
        f'<a href="https://medium.com/p/{id_}"><time class="dt-published" datetime="{published}">'
        f'a day</time></a>.</p><p><a href="{link}" class="p-canonical">Canonical link</a></p>'
        if published
        else ""
    )
    return (
        "<!DOCTYPE html><html><head><style>h1 {color: red}</style></head><body>"
        f'<article class="h-entry"><header><h1 class="p-name">{title}</h1></header>{summary}'
        f'<section data-field="body" class="e-content"><section class="section"><div '
        f'class="section-divider"><hr class="section-divider"></div><div class="section-content">'
        f'<div class="section-inner sectionLayout--insetColumn">{body}</div></div></section>'
        f"</section><footer>{tag}{dated}<p>Exported from Medium.</p></footer></article></body>"
        "</html>"
    )


MEDIUM_BODY = (
    '<h3 class="graf graf--h3 graf--leading graf--title">On Copper</h3>'
    '<h4 class="graf graf--h4 graf--subtitle">A subtitle</h4>'
    '<p class="graf graf--p">Copper is <strong>soft</strong>, and <em>I like it</em>; see '
    '<a href="https://ada.org/tin">tin</a>.</p>'
    '<pre class="graf graf--pre graf-after--p">first<br>  second</pre>'
    '<pre class="graf graf--pre graf-after--pre">third</pre>'
    '<blockquote class="graf graf--blockquote">Quoted by me.</blockquote>'
    '<figure class="graf graf--figure"><img src="x.png"><figcaption>A caption.</figcaption>'
    "</figure>"
    '<ol class="postList"><li class="graf graf--li">one</li><li class="graf graf--li">two</li></ol>'
    '<div class="graf graf--mixtapeEmbed"><a href="https://other.org"><strong>Their title</strong>'
    "<em>Their words</em></a></div>"
    '<figure class="graf graf--figure graf--iframe"><iframe src="x"></iframe>'
    '<blockquote class="twitter-tweet">A tweet of someone</blockquote></figure>'
)


def medium() -> Files:
    """An export with a story, a story whose home is elsewhere, a draft, a response."""
    answer = (
        '<p class="graf graf--p graf--leading">Thank you for this, I had not thought of it.</p>'
    )
    return {
        f"posts/2019-03-04_On-Copper-{FIRST}.html": medium_story("On Copper", MEDIUM_BODY, FIRST),
        f"posts/2020-01-02_{SECOND}.html": medium_story(
            "On Tin",
            '<p class="graf graf--p">Tin is white.</p>',
            SECOND,
            canonical="https://ada.org/tin",
            tags=False,
        ),
        "posts/draft_Not-yet-3c4d5e6f7081.html": medium_story(
            "Not yet", "<p>Unfinished.</p>", "3c4d5e6f7081", published=None
        ),
        "posts/2020-05-06_Thank-you-4d5e6f708192.html": medium_story(
            "Thank you for this, I had not…", answer, "4d5e6f708192", tags=False, subtitle=None
        ),
        "profile/profile.html": FORBIDDEN,
        "claps/claps-0001.html": FORBIDDEN,
        "bookmarks/bookmarks-0001.html": FORBIDDEN,
        "README.html": "<html>Your export</html>",
    }


# Substack

SUBSTACK_COLUMNS = [
    "post_id", "post_date", "is_published", "email_sent_at", "inbox_sent_at", "type", "audience",
    "title", "subtitle", "podcast_url",
]  # fmt: skip
SUBSTACK_BODY = (
    "<p>Copper is <strong>soft</strong>.<a class='footnote-anchor' href='#footnote-1' "
    "id='footnote-anchor-1'>1</a></p>"
    '<div class="subscription-widget-wrap"><p>Subscribe to my letter!</p><form><input></form></div>'
    '<div class="captioned-image-container"><figure><a class="image-link" href="i"><img src="i">'
    "</a><figcaption>My caption.</figcaption></figure></div>"
    '<p class="button-wrapper"><a class="button primary" '
    'href="https://ada.substack.com/p/on-copper?utm_source=x&amp;action=share"><span>Share</span>'
    "</a></p>"
    '<div class="tweet"><a href="https://x.com/bob/status/1">Bob says something</a></div>'
    '<div class="embedded-post-wrap"><a href="#"><div>Somebody else wrote this</div></a></div>'
    '<div class="digest-post-embed" data-attrs="{}"></div>'
    '<div class="poll-embed">Do you agree?</div>'
    '<div class="latex-rendered" data-attrs=\'{"persistentExpression":"a^2"}\'></div>'
    '<h2>More</h2><pre><code class="language-python">def f():\n    return 1</code></pre>'
    '<div class="footnote"><a class="footnote-number" href="#footnote-anchor-1">1</a>'
    '<div class="footnote-content"><p>A note of mine.</p></div></div>'
)


def substack_row(id_: str, published: str = "TRUE", **values: str) -> list[str]:
    """A row of posts.csv."""
    row = {
        "post_id": id_,
        "post_date": "2021-02-03T04:05:06.000Z",
        "is_published": published,
        "type": "newsletter",
        "audience": "everyone",
        **values,
    }
    return [row.get(column, "") for column in SUBSTACK_COLUMNS]


def substack() -> Files:
    """An export with pieces of every audience, rows without bodies and the other way round."""
    return {
        "posts.csv": table(
            SUBSTACK_COLUMNS,
            substack_row("101.on-copper", title="Copper &amp; Tin", subtitle="A subtitle"),
            substack_row("102.paid-one", audience="only_paid", title="For payers"),
            substack_row("103.free-one", "true", audience="only_free", title="For members"),
            substack_row("104.a-draft", "FALSE", title="Draft"),
            substack_row("105.no-body", title="Lost"),
            substack_row("106.a-thread", type="thread", title="What do you think?"),
            substack_row("107", title="Short name"),
        ),
        "posts/101.on-copper.html": SUBSTACK_BODY,
        "posts/102.paid-one.html": "<p>Paid words.</p>",
        "posts/103.free-one.html": "<p>Members' words.</p>",
        "posts/104.a-draft.html": "<p>Draft words.</p>",
        "posts/107.html": "<p>Seven words are in this short piece.</p>",
        "posts/108.no-row.html": "<p>Nobody knows.</p>",
        "posts/101.opens.csv": f"email\n{FORBIDDEN}",
        "posts/101.delivers.csv": f"email\n{FORBIDDEN}",
        "email_list.ada.csv": f"email\n{FORBIDDEN}",
    }


# LinkedIn

SHARE_COLUMNS = ["Date", "ShareLink", "ShareCommentary", "SharedUrl", "MediaUrl", "Visibility"]
BOLD = "𝗖𝗼𝗽𝗽𝗲𝗿 𝗶𝘀 𝘀𝗼𝗳𝘁"


def share(number: int, text: str, **values: str) -> list[str]:
    """A row of Shares.csv."""
    row = {
        "Date": "2022-03-04 05:06:07",
        "ShareLink": f"https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A{7000 + number}",
        "ShareCommentary": text,
        "Visibility": "MEMBER_NETWORK",
        **values,
    }
    return [row.get(column, "") for column in SHARE_COLUMNS]


def linkedin_article(title: str, published: str) -> str:
    """An article's file."""
    return (
        f'<html><head><title>x</title></head><body><img src="cover"><h1><a '
        f'href="https://www.linkedin.com/pulse/{title.lower()}">{title}</a></h1>'
        f'<p class="created">Created on 2018-01-02 03:04</p><p class="published">{published}</p>'
        '<div class="series-newsletter">Newsletter of Ada</div>'
        "<div><p>The article's <strong>own</strong> words.</p></div></body></html>"
    )


def linkedin(root: str = "", suffix: str = "") -> Files:
    """An export with posts, reposts, a post to several groups, articles, and others' data."""
    group_post = (
        "One post that was shared to several groups, word for word the same but for its end: {}"
    )
    return {
        f"{root}Shares{suffix}.csv": table(
            SHARE_COLUMNS,
            share(1, 'First line."\n"Second line."\n""\n"Last line.'),
            share(2, "", SharedUrl="https://other.org"),
            share(3, f"{BOLD}, he said: https://lnkd.in/abc"),
            share(4, group_post.format("one")),
            share(5, group_post.format("one.")),
            share(6, group_post.format("one …")),
            share(7, "For my connections only.", Visibility="CONNECTIONS"),
        ),
        f"{root}Articles/Articles/copper.html": linkedin_article(
            "Copper", "Published on 2018-01-03 04:05"
        ),
        f"{root}Articles/Articles/draft.html": linkedin_article("Draft", "Not published yet"),
        f"{root}messages.csv": f"FROM,CONTENT\nBob,{FORBIDDEN}",
        f"{root}Connections.csv": f"First Name\n{FORBIDDEN}",
        f"{root}Email Addresses.csv": f"Email\n{FORBIDDEN}",
        f"{root}PhoneNumbers.csv": f"Number\n{FORBIDDEN}",
        f"{root}Comments.csv": f"Date,Message\n2020,{FORBIDDEN}",
    }


# X

ACCOUNT = "42"


def tweet(number: int, text: str, **values: Any) -> dict[str, Any]:
    """A post as the archive has it: every number a string."""
    return {
        "id": str(number),
        "id_str": str(number),
        "full_text": text,
        "created_at": f"Thu Jun 01 12:00:{number % 60:02d} +0000 2023",
        "retweeted": False,
        "truncated": False,
        "lang": "en",
        "entities": {"urls": []},
        **values,
    }


def answer_to(number: int, user: str, **values: Any) -> dict[str, Any]:
    """The fields that make a post an answer."""
    return {
        "in_reply_to_status_id_str": str(number),
        "in_reply_to_status_id": str(number),
        "in_reply_to_user_id_str": user,
        **values,
    }


LONG = "This is a long post that goes on and on, " * 12 + "to its end."
TWEETS = [
    tweet(1001, "Copper &amp; tin &lt;3 https://t.co/abc https://t.co/pic",
          entities={"urls": [{"url": "https://t.co/abc", "expanded_url": "https://ada.org/tin"}],
                    "media": [{"url": "https://t.co/pic"}]}),
    tweet(1002, "RT @bob: what Bob said"),
    tweet(1003, "@bob I agree with you", **answer_to(5, "77")),
    tweet(1004, "A thread about copper."),
    tweet(1005, "@ada Its second part.", **answer_to(1004, ACCOUNT)),
    tweet(1006, "Its third part.", **answer_to(1005, ACCOUNT)),
    tweet(1007, LONG[:250] + "… https://t.co/long"),
    tweet(1008, "@ada after the answer to Bob", **answer_to(1003, ACCOUNT)),
    tweet(1009, "Answers what I deleted.", **answer_to(999, ACCOUNT)),
]  # fmt: skip
NOTES = [
    {"noteTweet": {"noteTweetId": "555", "createdAt": "2023-06-01T12:00:47.000Z",
                   "core": {"text": LONG, "urls": []}}},
    {"noteTweet": {"noteTweetId": "556", "createdAt": "2023-06-01T12:00:47.000Z",
                   "core": {"text": "Another of the same second.", "urls": []}}},
]  # fmt: skip


def script(name: str, value: Any) -> str:
    """A file of the archive: a script that assigns JSON."""
    return f"window.YTD.{name}.part0 = {json.dumps(value, indent=1)}"


def x_archive(wrapped: bool = True, count: int | None = None) -> Files:
    """An archive with a manifest, and what must not be read beside it."""
    tweets: list[Any] = [{"tweet": post} for post in TWEETS] if wrapped else TWEETS
    manifest = {
        "userInfo": {"accountId": ACCOUNT, "userName": "ada", "displayName": "Ada"},
        "dataTypes": {
            "tweets": {
                "files": [
                    {
                        "fileName": "data/tweets.js",
                        "globalName": "YTD.tweets.part0",
                        "count": str(len(tweets) if count is None else count),
                    }
                ]
            },
            "noteTweet": {"files": [{"fileName": "data/note-tweet.js", "count": "2"}]},
        },
    }
    private = ("direct-messages", "phone-number", "account", "ad-engagements", "deleted-tweets",
               "deleted-tweet-headers", "like", "email-address-change")  # fmt: skip
    return {
        "data/manifest.js": f"window.__THAR_CONFIG = {json.dumps(manifest)}",
        "data/tweets.js": script("tweets", tweets),
        "data/note-tweet.js": script("note_tweet", NOTES),
        **{f"data/{name}.js": script(name, [FORBIDDEN]) for name in private},
        "data/tweets_media/1001-x.jpg": b"\xff\xd8",
    }


# WordPress

NAMESPACES = {
    "1.1": "http://wordpress.org/export/1.1/",
    "1.2": "http://wordpress.org/export/1.2/",
    "https": "https://wordpress.org/export/1.2/",
}


def wp_item(number: int, content: str, type_: str = "post", **values: str) -> str:
    """An item of the export."""
    fields = {
        "title": f"Piece {number}",
        "link": f"https://ada.org/{number}",
        "pubDate": "Mon, 04 Mar 2019 05:06:07 +0000",
        "dc:creator": "ada",
        "wp:post_id": str(number),
        "wp:post_date": "2019-03-04 06:06:07",
        "wp:post_date_gmt": "2019-03-04 05:06:07",
        "wp:status": "publish",
        "wp:post_type": type_,
        "wp:post_password": "",
        **{name.replace("__", ":"): value for name, value in values.items()},
    }
    inner = "".join(f"<{n}><![CDATA[{v}]]></{n}>" for n, v in fields.items())
    return (
        f"<item>{inner}<description></description>"
        f"<content:encoded><![CDATA[{content}]]></content:encoded>"
        f"<excerpt:encoded><![CDATA[An excerpt that is not the text.]]></excerpt:encoded>"
        "<wp:comment><wp:comment_author_email>bob@x.org</wp:comment_author_email>"
        f"<wp:comment_author_IP>1.2.3.4</wp:comment_author_IP>"
        f"<wp:comment_content><![CDATA[{FORBIDDEN}]]></wp:comment_content></wp:comment></item>"
    )


def wxr(*items: str, authors: tuple[str, ...] = ("ada", "bob"), version: str = "1.2") -> str:
    """A whole export."""
    people = "".join(
        f"<wp:author><wp:author_login><![CDATA[{login}]]></wp:author_login>"
        f"<wp:author_email>{login}@x.org</wp:author_email><wp:author_display_name>"
        f"<![CDATA[{login.title()} Writer]]></wp:author_display_name></wp:author>"
        for login in authors
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<!-- generator="WordPress" -->\n'
        '<rss version="2.0" xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:wp="{NAMESPACES[version]}"><channel><title>Ada</title>'
        f"<wp:wxr_version>1.2</wp:wxr_version>{people}{''.join(items)}</channel></rss>"
    )


# Ghost


def ghost_post(number: int, **values: Any) -> dict[str, Any]:
    """A row of the posts table."""
    return {
        "id": f"p{number}",
        "title": f"Piece {number}",
        "slug": f"piece-{number}",
        "html": f"<p>Words of piece {number} at <a href='__GHOST_URL__/x/'>home</a>.</p>",
        "type": "post",
        "status": "published",
        "visibility": "public",
        "published_at": "2020-01-02T03:04:05.000Z",
        "created_at": "2020-01-01T00:00:00.000Z",
        "updated_at": "2020-02-01T00:00:00.000Z",
        **values,
    }


def ghost(*posts: dict[str, Any], wrapped: bool = True, hands: dict[str, list[str]] | None = None):
    """A whole export; ``hands`` is post id -> user ids."""
    data = {
        "members": [{"email": FORBIDDEN}],
        "posts": list(posts),
        "posts_authors": [
            {"post_id": post["id"], "author_id": user}
            for post in posts
            for user in (hands or {}).get(post["id"], ["u1"])
        ],
        "settings": [{"key": "secret", "value": FORBIDDEN}],
        "users": [
            {"id": "u1", "name": "Ada Writer", "slug": "ada", "password": FORBIDDEN},
            {"id": "u2", "name": "Bob Other", "slug": "bob", "password": FORBIDDEN},
        ],
    }
    whole: Any = {"meta": {"version": "5.0"}, "data": data}
    return json.dumps({"db": [whole]} if wrapped else whole)
