"""Posts with pictures as HTML: complete, safe, and without effect on the page around them."""

import base64
import io
import re
import sys
import types

import numpy as np
import pytest
import spacy
import srsly
from PIL import Image
from spacy import displacy
from spacy.displacy import EntityRenderer
from spacy.displacy.render import DEFAULT_LABEL_COLORS
from spacy.tokens import Doc, DocBin
from spacy.util import registry

import spacy_msvse
from spacy_msvse import make_doc, render
from spacy_msvse.component.analysis import Reading
from spacy_msvse.display.colours import LABEL_COLOURS
from spacy_msvse.display.render import pair, stream
from spacy_msvse.errors import MsvseError

from ..tiny import picture
from .markup import HOSTILE, Markup, annotate, effect, full_post, hostile_post, jpeg


def words(html: str) -> str:
    """The text of a page, blanks and line breaks as one blank."""
    return " ".join(Markup(html).text.split())


def shown_picture(html: str) -> Image.Image:
    (image,) = Markup(html).all("img")
    header, _, data = image["src"].partition(",")
    assert header == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_everything_on_a_doc_is_shown(nlp):
    text = words(render(full_post(nlp)))
    for part in (
        "Jordan PER 92% visits Amman LOC 71%",
        "Regions extracted",
        "Region 1 person 93%",
        "street 50%",
        "caption a person in a street",
        "tags extracted person street",
        "ocr WELCOME TO AMMAN",
        "regions used entity types PER 88% LOC 25%",
        "caption masked",
    ):
        assert part in text, part


def test_the_picture_is_described_by_its_caption_or_its_tags(nlp):
    doc = full_post(nlp)
    assert Markup(render(doc)).all("img")[0]["alt"] == "a person in a street"
    doc._.image_caption = ""
    assert Markup(render(doc)).all("img")[0]["alt"] == "Picture: person, street"
    doc._.image_tags = None
    assert Markup(render(doc)).all("img")[0]["alt"] == "Picture without a caption"


def test_boxes_are_at_their_regions_and_link_to_their_list_and_back(nlp):
    markup = Markup(render(full_post(nlp)))
    boxes = [link for link in markup.all("a") if "style" in link]
    assert boxes[0]["style"] == "left: 10.00%; top: 20.00%; width: 40.00%; height: 80.00%"
    identifiers = markup.attributes("id")
    assert len(identifiers) == len(set(identifiers))
    for link in markup.all("a"):
        assert link["href"].removeprefix("#") in identifiers


def test_regions_without_a_label_are_counted_and_not_drawn(nlp):
    doc = full_post(nlp)
    doc._.image_regions = [("", 0.0, 0, 0, 1, 1), ("", 0.0, 0, 0, 0.5, 0.5)]
    html = render(doc)
    assert "2 without a label, not drawn" in words(html)
    assert not Markup(html).all("a")


@pytest.mark.parametrize("corner", [-3.0, 7.0, np.float32(0.5)])
def test_corners_are_kept_inside_the_picture(nlp, corner):
    doc = full_post(nlp)
    doc._.image_regions = [("x", 0.5, corner, 0.0, corner, 1.0)]
    style = next(link["style"] for link in Markup(render(doc)).all("a") if "style" in link)
    assert all(0 <= float(number) <= 100 for number in re.findall(r"[-\w.]+(?=%)", style))


@pytest.mark.parametrize("region", [("x", 0.5), ("x", 0.5, "0; color: red", 0, 1, 1), 3])
def test_a_malformed_region_is_a_coded_error(nlp, region):
    doc = full_post(nlp)
    doc.user_data["._.", "image_regions", None, None] = [region]
    with pytest.raises(MsvseError, match="MSVSE-E071"):
        render(doc)


def test_anything_but_a_doc_is_a_coded_error(nlp):
    with pytest.raises(MsvseError, match="MSVSE-E070"):
        render(["a text"])


# Safety


@pytest.mark.parametrize("page", [True, False])
def test_hostile_text_is_escaped(nlp, tmp_path, page):
    path = tmp_path / "\"><svg onload=alert(1)>'.jpg"
    path.write_bytes(jpeg())
    docs = [hostile_post(nlp), hostile_post(nlp, image=str(path)), hostile_post(nlp, image="<b>")]
    effects = [[effect(1, 2, (HOSTILE, 0.5), (HOSTILE, 0.1, False), regions=[0.1])]] * 3
    html = render(docs, page=page, effects=effects)
    markup = Markup(html)
    assert {tag for tag, _ in markup.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "main", "div", "article", "span", "a"),
        *("h1", "h2", "h3", "p", "mark", "figure", "img", "figcaption", "strong", "small"),
        *("ol", "ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "bdi"),
    }
    assert not [name for _, attrs in markup.tags for name in attrs if name.startswith("on")]
    # Word, label, tag, region and the rest are all there, as they were.
    assert markup.text.count(HOSTILE) >= 3 * 9
    assert "49" not in markup.text


def test_nothing_is_loaded_and_no_link_leads_out(nlp):
    doc = full_post(nlp)
    doc._.image = "https://example.org/picture.jpg"
    html = render([full_post(nlp), doc], page=True)
    markup = Markup(html)
    assert all(link["href"].startswith("#") for link in markup.all("a"))
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in markup.all("img"))
    assert not re.search(r"url\(|@import", html)
    assert "picture.jpg: it is a URL" in markup.text
    policy = next(m["content"] for m in markup.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy


def test_the_picture_is_encoded_at_display_size_without_its_metadata(nlp):
    exif = Image.Exif()
    exif[0x010E] = "SECRET PLACE"
    data = jpeg((2000, 1000), exif=exif, comment=b"SECRET COMMENT")
    picture = shown_picture(render(make_doc(nlp, "hello", image=data)))
    assert picture.size == (800, 400)
    assert not picture.getexif()
    assert "comment" not in picture.info


def test_the_folder_of_a_picture_is_not_shown(nlp, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    html = render(make_doc(nlp, "hello", image=str(tmp_path / "photo.jpg")))
    assert "photo.jpg" in words(html)
    assert str(tmp_path) not in html


def test_pictures_outside_image_root_are_not_read(nlp, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    doc = make_doc(nlp, "hello", image="../secret.jpg")
    html = render(doc, image_root=tmp_path / "inside")
    assert "secret.jpg: it lies outside the picture folder." in words(html)
    assert not Markup(html).all("img")
    # Pages may be published, so they contain no folder.
    assert "../" not in html
    assert str(tmp_path) not in html


def test_all_pictures_of_a_post_are_shown_with_their_own_boxes(nlp, tmp_path):
    doc = make_doc(
        nlp,
        "Jordan visits Amman",
        images=[jpeg(), str(tmp_path / "gone.jpg"), jpeg((32, 32))],
        regions=[("person", 0.9, 0, 0, 0.5, 1, 0), ("street", 0.5, 0.4, 0, 1, 1, 2)],
    )
    doc._.image_status = {"regions": "used"}
    annotate(doc, [(0, 1, "PER", 0.92)])
    findings = {"with_picture": ("PER", 0.9), "without_picture": ("LOC", 0.2)}
    one = effect(0, 1, *findings.values(), regions=[0.1, 0.3])
    one.region_pictures = [0, 2]
    one.without_each = [Reading("PER", 0.8), Reading("PER", 0.9), Reading("LOC", 0.4)]
    html = render(doc, jupyter=False, effects=[[one]])
    *_, last = html.split("<figure>")
    assert html.count("<img ") == html.count("<figure>") == 2
    assert ">person 90%" not in last
    assert "street 50%" in last.split("</figure>")[0]
    assert "Picture 2 cannot be shown" in html
    assert "gone.jpg" in html
    assert str(tmp_path) not in html
    assert "Picture 1" in html
    assert "Picture 3" in html
    text = words(html)
    assert "Without picture 1" in text
    assert "Without picture 3" in text
    assert "Region 2 of picture 3 street: 30.0%" in text
    assert "picture 3" in text


def test_a_post_without_picture_says_so(nlp):
    assert "This post has no picture." in words(render(make_doc(nlp, "hello")))


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (b"no picture", "it is not a picture of a known format"),
        (jpeg()[:200], "Truncated File Read."),
        ("/srv/secret/missing.jpg", "missing.jpg: No such file or directory."),
    ],
)
def test_an_unreadable_picture_has_a_reason_without_its_folder(nlp, image, why):
    doc = full_post(nlp)
    doc._.image = image
    html = render(doc)
    assert f"The picture cannot be shown. {why}" in words(html)
    assert "/srv" not in html
    # The regions are listed all the same, without a link to a box that is not there.
    assert "person 93%" in words(html)
    assert not Markup(html).all("a")


# Text and entities


def test_entities_are_marked_correctly_beside_emoji_and_unusual_blanks(nlp):
    doc = make_doc(nlp, "🚀👩🏽\u200d🚀  Eileen \n Collins\u00a0🇯🇴\n\nAmman ")
    start = next(token.i for token in doc if token.text == "Eileen")
    end = next(token.i for token in doc if token.text == "Collins") + 1
    amman = next(token.i for token in doc if token.text == "Amman")
    # The second one begins with the line breaks before it.
    annotate(doc, [(start, end, "PER", 0.5), (amman - 1, amman + 1, "LOC", 0.5)])
    html = render(doc)
    text = re.search(r'<p class="text"[^>]*>(.*?)</p>', html, re.DOTALL).group(1)
    marked = re.findall(r"<mark[^>]*>([^<]*)<span", text)
    assert marked == [ent.text for ent in doc.ents]
    assert Markup(re.sub(r"<span.*?</span>", "", text)).text == doc.text


def test_words_given_as_such_are_shown_joined_by_blanks(nlp):
    doc = annotate(make_doc(nlp, ["go", "#NYC", "!"]), [(1, 2, "LOC", 0.5)])
    assert "go #NYC LOC 50% !" in words(render(doc))


def test_entities_that_the_component_did_not_predict_have_no_confidence(nlp):
    doc = make_doc(nlp, "saw Jordan")
    doc.ents = [doc.char_span(4, 10, label="PER")]
    assert "Jordan PER</span>" in re.sub(r'<span class="label"> ', " ", render(doc))


def test_displacys_options_choose_labels_and_colours(nlp):
    options = {"ents": ["PER"], "colors": {"PER": "#000080"}}
    html = render(full_post(nlp), options=options)
    assert [mark["style"] for mark in Markup(html).all("mark")] == [
        "background: #000080; color: #fff"
    ]
    assert "Amman" in words(html)
    assert "LOC" not in words(html)


def styles(doc, **settings):
    return {mark["style"] for mark in Markup(render(doc, **settings)).all("mark")}


def test_our_colours_are_in_our_pages_and_displacys_pages_keep_theirs(nlp, monkeypatch):
    """Of two types that both colour."""
    doc = nlp("Ada left Arup")
    doc.ents = [doc.char_span(0, 3, label="LOC"), doc.char_span(9, 13, label="ORG")]
    for label in ("ORG", "LOC"):
        assert EntityRenderer().colors[label] == DEFAULT_LABEL_COLORS[label]
        assert LABEL_COLOURS[label] in str(styles(doc))
        assert LABEL_COLOURS[label] not in displacy.render(doc, style="ent", jupyter=False)
    theirs = {"colors": {"org": DEFAULT_LABEL_COLORS["ORG"]}}
    assert DEFAULT_LABEL_COLORS["ORG"] in str(styles(doc, options=theirs))
    colours = {"tests": {"ORG": "#123456"}}
    monkeypatch.setattr(registry.displacy_colors, "get_all", lambda: colours)
    assert "#123456" in str(styles(doc))


@pytest.mark.parametrize(
    ("background", "ink"),
    [("#a5d8ff", "#000"), ("navy", "#fff"), ("linear-gradient(90deg, #aa9cfc, #fc9ce7)", "#000")],
)
def test_text_has_contrast_on_any_colour(nlp, background, ink):
    html = render(full_post(nlp), options={"colors": {"per": background}})
    assert Markup(html).all("mark")[0]["style"] == f"background: {background}; color: {ink}"


# Page, fragment


def test_the_style_of_a_fragment_does_not_affect_the_page_around_it(nlp):
    html = render(full_post(nlp))
    markup = Markup(html)
    assert markup.tags[0] == ("div", {"class": "spacy-msvse"})
    assert not {"html", "head", "body", "main", "h1"} & {tag for tag, _ in markup.tags}
    # Every rule is nested in one for our class.
    assert re.match(r"\s*\.spacy-msvse \{", markup.css)
    depths = np.cumsum([(c == "{") - (c == "}") for c in markup.css.strip()])
    assert (depths[30:-1] > 0).all()


def test_fragments_in_one_page_have_different_names(nlp):
    html = render(full_post(nlp)) + render(full_post(nlp))
    names = Markup(html).attributes("id")
    assert len(names) == len(set(names))


def test_equal_docs_give_equal_pages(nlp):
    assert render(full_post(nlp), page=True) == render(full_post(nlp), page=True)


def test_the_page_has_a_light_and_a_dark_scheme(nlp):
    html = render(full_post(nlp), page=True)
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html


def test_a_page_without_posts_says_so():
    assert "There are no posts to show." in words(render([], page=True))


def test_the_language_is_stated_if_it_is_known(nlp):
    assert '<p class="text" dir="auto" lang="en">' in render(make_doc(nlp, "hello"))
    assert '<p class="text" dir="auto">' in render(Doc(spacy_vocab(), words=["hello"]))


def spacy_vocab():
    from spacy.vocab import Vocab

    return Vocab()


def test_docs_from_a_file_give_the_same_page(nlp):
    doc = full_post(nlp)
    docs = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(docs).get_docs(nlp.vocab)
    assert render(again, page=True) == render(doc, page=True)


def test_the_html_can_be_stored_as_json(nlp):
    html = render([full_post(nlp), hostile_post(nlp)])
    assert srsly.json_loads(srsly.json_dumps({"html": html}))["html"] == html


def test_posts_are_rendered_one_by_one(nlp):
    rendered = []

    def docs():
        for number in range(3):
            rendered.append(number)
            yield make_doc(nlp, f"post number {number}")

    for piece in stream(pair(docs(), None), page=True):
        if "post number 0" in piece:
            break
    assert rendered == [0]


# Effects of the picture


def test_the_page_has_both_labels_and_both_confidences(nlp):
    effects = [[effect(0, 1, ("PER", 0.92), ("LOC", 0.55))]]
    text = words(render(full_post(nlp), effects=effects))
    assert "With and without picture and tags" in text
    assert "Words With Without Jordan PER 92% LOC 55%" in text


def test_an_entity_of_only_one_pass_is_no_entity_in_the_other(nlp):
    effects = [
        [
            effect(0, 1, ("PER", 0.92), ("PER", 0.49, False)),
            effect(2, 3, ("LOC", 0.001, False), ("LOC", 0.6)),
        ]
    ]
    text = words(render(full_post(nlp), effects=effects))
    assert "Jordan PER 92% no entity PER 49%" in text
    assert "Amman no entity LOC 0% LOC 60%" in text


def test_the_removed_views_are_named(nlp):
    """A caption without a picture is named as a caption."""
    doc = make_doc(nlp, "saw Jordan", caption="a waterfall")
    doc._.image_status = {"regions": "absent", "tags": "absent", "caption": "used"}
    effects = [[effect(1, 2, ("LOC", 0.9), ("PER", 0.6), caption=0.125)]]
    text = words(render(doc, effects=effects))
    assert "This post has no picture." in text
    assert "With and without caption" in text
    doc._.image_status = {"regions": "used", "tags": "used", "caption": "used"}
    assert "With and without picture, tags and caption" in words(render(doc, effects=effects))


def test_a_post_whose_views_were_not_read_is_not_compared(nlp):
    doc = make_doc(nlp, "saw Jordan")
    doc._.image_status = {"regions": "absent", "caption": "masked"}
    html = render(doc, effects=[[effect(1, 2, ("LOC", 0.9), ("LOC", 0.9))]])
    assert not Markup(html).all("table")


def test_each_region_has_its_share_of_the_attention_the_largest_first(nlp):
    doc = full_post(nlp)
    doc._.image_regions = [*doc._.image_regions, ("", 0.0, 0.25, 0.5, 0.5, 1.0)]
    shares = [0.03, 0.05, 0.0199]
    effects = [[effect(0, 1, ("PER", 0.9), ("PER", 0.8), regions=shares, tags=0.25)]]
    text = words(render(doc, effects=effects))
    assert "Jordan regions 10.0% tags 25.0%" in text
    places = [
        text.index(part)
        for part in (
            "Region 2 street: 5.0%",
            "Region 1 person: 3.0%",
            "Region 3, 25 to 50% across, 50 to 100% down: 2.0%",
        )
    ]
    assert places == sorted(places)


def test_shares_of_unknown_regions_have_their_numbers(nlp):
    doc = full_post(nlp)
    doc._.image_regions = None
    effects = [[effect(0, 1, ("PER", 0.9), ("PER", 0.8), regions=[0.1, 0.2])]]
    assert "Region 2: 20.0% Region 1: 10.0%" in words(render(doc, effects=effects))


def test_only_the_chosen_labels_are_compared(nlp):
    effects = [[effect(0, 1, ("PER", 0.9), ("PER", 0.8)), effect(2, 3, ("LOC", 0.9), ("LOC", 0.8))]]
    html = render(full_post(nlp), options={"ents": ["PER"]}, effects=effects)
    assert "LOC" not in words(html)


@pytest.mark.parametrize("effects", [[], [[], []]])
def test_effects_of_other_posts_are_a_coded_error(nlp, effects):
    with pytest.raises(MsvseError, match="MSVSE-E072"):
        render(full_post(nlp), effects=effects)


def test_the_effects_of_the_component_are_shown(trained):
    component = (pipeline := spacy.load(trained)).get_pipe("msvse_ner")
    docs = [
        pipeline(make_doc(pipeline, "saw jordan today", image=picture(label)))
        for label in ("PER", "LOC")
    ]
    effects = component.explain_pictures(docs)
    text = words(render(docs, effects=effects))
    for (effect_,) in effects:
        findings = (effect_.with_picture, effect_.without_picture)
        cells = [f"{finding.label} {finding.confidence:.0%}" for finding in findings]
        assert " ".join(["jordan", *cells]) in text
    assert "With and without picture, tags and caption" in text


# Notebook


def test_a_notebook_displays_the_fragment(nlp, monkeypatch):
    displayed = []
    module = types.ModuleType("IPython.display")
    module.HTML, module.display = str, displayed.append
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    assert render(full_post(nlp), page=True, jupyter=True) is None
    assert displayed[0].startswith('<div class="tex2jax_ignore"><div class="spacy-msvse">')
    assert "<body" not in displayed[0]


def test_render_is_a_public_name():
    assert spacy_msvse.render is render
    assert "render" in spacy_msvse.__all__
