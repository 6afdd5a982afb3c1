import pytest

from spacy_msvse.corpus.conll import read_conll
from spacy_msvse.corpus.jsonl import parse_rows
from spacy_msvse.errors import MsvseError


@pytest.fixture
def read(tmp_path, nlp):
    """Write a text to a file and read it: posts, Docs, and bad rows as (line, reason)."""

    def read(text, **settings):
        path = tmp_path / "posts.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf8"))
        bad_rows = []
        posts = list(parse_rows(read_conll(path, **settings), bad_rows))
        docs = [post.to_doc(nlp) for post in posts]
        return posts, docs, [(row.line, row.reason) for row in bad_rows]

    return read


def get_entities(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


def test_a_post_has_its_words_its_picture_and_its_id(read):
    (post,), (doc,), bad_rows = read("IMGID:7\nAda\tB-PER\nLovelace\tI-PER\nis\tO\n\n")
    assert [token.text for token in doc] == ["Ada", "Lovelace", "is"]
    assert get_entities(doc) == [("Ada Lovelace", "PER")]
    assert doc._.image == "7.jpg"
    assert doc.user_data["meta"] == {"id": "7"}
    assert post.line == 1
    assert not bad_rows


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n"])
def test_the_last_post_needs_no_blank_line(read, end):
    _, docs, bad_rows = read("IMGID:1\nAda\tB-PER\n\nIMGID:2\nBob\tB-PER" + end)
    assert [doc._.image for doc in docs] == ["1.jpg", "2.jpg"]
    assert not bad_rows


def test_posts_need_no_blank_lines_between_them(read):
    _, docs, _ = read("IMGID:1\nAda\tB-PER\nIMGID:2\nBob\tI-PER\n")
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")], [("Bob", "PER")]]


def test_a_stray_inside_label_opens_an_entity(read):
    rows = ["a\tI-PER", "b\tO", "c\tI-LOC", "d\tI-LOC", "e\tI-ORG", "f\tB-PER", "g\tI-PER"]
    (post,), (doc,), _ = read("\n".join(rows))
    expected = [("a", "PER"), ("c d", "LOC"), ("e", "ORG"), ("f g", "PER")]
    assert get_entities(doc) == expected
    assert post.stray_starts == 3


def test_an_entity_does_not_continue_in_the_next_post(read):
    posts, docs, _ = read("Ada\tB-PER\n\nBob\tI-PER\n")
    assert [get_entities(doc) for doc in docs] == [[("Ada", "PER")], [("Bob", "PER")]]
    assert posts[1].stray_starts == 1


@pytest.mark.parametrize(
    "token", ["\xa0", "\ufe0f", "\u200b", "\u200d", "\ufffd", "\x92", "\xad", "\x85", "\u2028", " "]
)
def test_invisible_tokens_are_kept(read, token):
    (_,), (doc,), bad_rows = read(f"IMGID:1\n{token}\tO\nAda\tB-PER\n")
    assert [token.text for token in doc] == [token, "Ada"]
    assert get_entities(doc) == [("Ada", "PER")]
    assert not bad_rows


def test_windows_line_ends_are_removed(read):
    _, docs, bad_rows = read("IMGID:1\r\nAda\tB-PER\r\n\r\nIMGID:2\r\nBob\tO\r\n")
    assert [doc._.image for doc in docs] == ["1.jpg", "2.jpg"]
    assert get_entities(docs[0]) == [("Ada", "PER")]
    assert not bad_rows


def test_a_byte_order_mark_is_removed(read):
    _, (doc,), _ = read(b"\xef\xbb\xbfIMGID:1\nAda\tB-PER\n")
    assert doc._.image == "1.jpg"


@pytest.mark.parametrize("row", ["Ada B-PER", "Ada  B-PER", "Ada NNP x B-PER", "Ada\tB-X\tB-PER"])
def test_the_token_is_the_first_column_and_the_label_the_last(read, row):
    _, (doc,), _ = read(row)
    assert get_entities(doc) == [("Ada", "PER")]


def test_the_label_column_is_a_setting(read):
    rows = "Ada\tB-person\tB-author\nLovelace\tI-person\tI-author\nis\tO\tO\n"
    found = [get_entities(read(rows, label_column=column)[1][0]) for column in (None, 2, 3)]
    assert found == [[("Ada Lovelace", label)] for label in ("author", "person", "author")]


def test_a_row_without_the_label_column_is_reported(read):
    text = "Ada\tO\n\nBob\tB-person\tB-author\n"
    _, (doc,), bad_rows = read(text, label_column=3)
    assert get_entities(doc) == [("Bob", "author")]
    assert bad_rows == [(1, "a token and a label in column 3 are expected, not 'Ada\\tO'")]


def test_without_picture_lines_blank_lines_separate_the_posts(read):
    _, docs, bad_rows = read("-DOCSTART- -X- O O\n\nAda B-PER\n\n\nBob B-PER\n")
    assert [doc.text.strip() for doc in docs] == ["Ada", "Bob"]
    assert [doc._.image for doc in docs] == [None, None]
    assert not bad_rows


def test_text_after_a_blank_line_keeps_the_picture(read):
    _, docs, bad_rows = read("IMGID:1\n\nAda\tO\n\nBob\tO\n")
    assert [doc._.image for doc in docs] == ["1.jpg", "1.jpg"]
    assert not bad_rows


@pytest.mark.parametrize("name", ["1", "1.png"])
def test_the_suffix_of_the_picture_is_a_setting(read, name):
    _, (doc,), _ = read(f"IMGID:{name}\nAda\tO\n", image_suffix=".png")
    assert doc._.image == "1.png"


@pytest.mark.parametrize(
    "row",
    [
        "Ada",
        "\tB-PER",
        "Ada\tPER",
        "Ada\tB-",
        "Ada\tX-PER",
        "Ada\tb-PER",
        "Ada\t",
        "URL:3",
        "a\tO\rb\tO",
    ],
)
def test_a_post_with_a_malformed_row_is_left_out_whole(read, row):
    text = f"IMGID:1\nsaw\tO\n{row}\nBob\tB-PER\n\nIMGID:2\nEve\tB-PER\n"
    _, docs, bad_rows = read(text)
    assert [get_entities(doc) for doc in docs] == [[("Eve", "PER")]]
    assert [line for line, _ in bad_rows] == [3]


def test_a_post_with_several_malformed_rows_is_reported_once(read):
    _, docs, bad_rows = read("Ada\nBob\nEve\tB-PER\nUrs\n\nYes\tO\n")
    assert [doc.text.strip() for doc in docs] == ["Yes"]
    assert bad_rows == [
        (1, "a token and a label are expected, not 'Ada'; 2 more lines of the post are malformed")
    ]


def test_a_post_with_a_row_in_another_encoding_is_left_out_whole(read):
    text = b"IMGID:1\nAda\tO\n" + "Zoë\tO\n".encode("latin1") + b"\nIMGID:2\nBob\tO\n"
    _, docs, bad_rows = read(text)
    assert [doc._.image for doc in docs] == ["2.jpg"]
    assert bad_rows == [(3, "the line is not in UTF-8")]


def test_a_picture_line_in_another_encoding_still_starts_a_post(read):
    text = b"IMGID:1\nAda\tO\nIMGID:" + "Zoë".encode("latin1") + b"\nBob\tO\n"
    _, docs, bad_rows = read(text)
    assert [doc.text.strip() for doc in docs] == ["Ada"]
    assert bad_rows == [(3, "the line is not in UTF-8")]


def test_a_long_malformed_row_is_shortened(read):
    _, _, ((_, reason),) = read("x" * 5000)
    assert len(reason) < 200


@pytest.mark.parametrize("column", [{"token_column": 2}, {"token_column": 2, "label_column": 4}])
def test_the_token_column_is_a_setting(read, column):
    _, (doc,), _ = read("1\tAda\t_\tB-PER\n2\tsings\t_\tO\n", **column)
    assert [token.text for token in doc] == ["Ada", "sings"]
    assert get_entities(doc) == [("Ada", "PER")]


@pytest.mark.parametrize(
    ("comments", "meta"),
    [
        # As MultiCoNER has them (v2, 2023), and CoNLL-U (universaldependencies.org/format.html).
        ("# id 5239d808\tdomain=train", {"id": "5239d808"}),
        ("# newdoc id = d1\n# sent_id = weblog-3\n# text = Ada = sings", {"id": "weblog-3"}),
        ("# text = Ada sings", None),
    ],
)
def test_comments_before_the_tokens_are_no_tokens_and_their_id_is_kept(read, comments, meta):
    text = f"Bob\tB-PER\n\n{comments}\nAda _ _ B-PER\nsings _ _ O\n"
    _, (_, doc), bad_rows = read(text)
    assert not bad_rows
    assert get_entities(doc) == [("Ada", "PER")]
    assert doc.user_data.get("meta") == meta


def test_the_id_of_a_comment_stays_beside_that_of_the_picture(read):
    _, (doc,), _ = read("# id a1\nIMGID:7\nAda\tB-PER\n")
    assert doc.user_data["meta"] == {"id": "7", "comment_id": "a1"}


@pytest.mark.parametrize("line", ["#\tO", "# O", "#id\tO", "#id=3 O"])
def test_a_token_that_begins_like_a_comment_is_a_token(read, line):
    _, (doc,), bad_rows = read(f"Ada B-PER\n{line}\n")
    assert not bad_rows
    assert len(doc) == 2
    _, (doc,), _ = read(f"{line}\nAda B-PER\n")
    assert len(doc) == 2


def test_an_id_that_ends_like_a_picture_file_is_its_name(read):
    names = ["3.png", "4.JPEG", "5", "6.2", "7.webp"]
    _, docs, _ = read("".join(f"IMGID:{name}\nAda\tO\n\n" for name in names))
    expected = ["3.png", "4.JPEG", "5.jpg", "6.2.jpg", "7.webp"]
    assert [doc._.image for doc in docs] == expected


@pytest.mark.parametrize(
    ("label", "others"), [("X", "B-PER O"), ("B-X", "B-PER O"), ("S-X", "S-PER O"), ("X", "PER O")]
)
def test_tokens_labelled_x_are_context_and_no_words_of_the_post(read, label, others):
    first, second = others.split()
    text = f"Ada\t{first}\nsings\t{second}\n<EOS>\t{label}\na\t{label}\ndog\t{label}\n"
    (post,), (doc,), bad_rows = read(text)
    assert not bad_rows
    assert [token.text for token in doc] == ["Ada", "sings"]
    assert get_entities(doc) == [("Ada", "PER")]
    assert doc._.image_texts == {"context": "<EOS> a dog"}
    assert post.tokens_left_out == 3


def test_a_post_that_is_only_context_is_reported(read):
    _, docs, bad_rows = read("Ada\tB-PER\n\na\tX\n")
    assert len(docs) == 1
    assert bad_rows == [(3, "the post has no tokens but those of context (X)")]


def test_where_x_is_the_only_type_it_is_a_type(read):
    _, (doc,), _ = read("Ada\tB-X\nsings\tO\n")
    assert get_entities(doc) == [("Ada", "X")]


def test_an_empty_token_outside_of_entities_is_left_out_and_counted(read):
    (post,), (doc,), bad_rows = read("Ada\tB-PER\n\tO\nsings\tO\n\n\tO\n")
    assert [token.text for token in doc] == ["Ada", "sings"]
    assert post.tokens_left_out == 1
    assert bad_rows == [(5, "the post has no tokens")]


@pytest.mark.parametrize(
    ("scheme", "labels"),
    [
        ("IOB1", "I-PER I-PER B-PER O I-LOC O"),
        ("IO", "I-PER I-PER O I-LOC O O"),
    ],
)
def test_in_schemes_that_begin_with_i_no_beginning_is_stray(read, scheme, labels):
    rows = [f"{token}\t{label}" for token, label in zip("abcdef", labels.split(), strict=True)]
    (post,), (doc,), _ = read("\n".join(rows))
    assert (post.scheme, post.stray_starts) == (scheme, 0)
    expected = {
        "IOB1": [("a b", "PER"), ("c", "PER"), ("e", "LOC")],
        "IO": [("a b", "PER"), ("d", "LOC")],
    }
    assert get_entities(doc) == expected[scheme]


SCHEMES = {
    "IOB2": "B-PER I-PER I-PER O B-LOC B-LOC",
    "BIOES": "B-PER I-PER E-PER O S-LOC S-LOC",
    "BMES": "B-PER M-PER E-PER O S-LOC S-LOC",
    "BMEWO": "B-PER M-PER E-PER O W-LOC W-LOC",
    "BILOU": "B-PER I-PER L-PER O U-LOC U-LOC",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_letters_of_each_scheme_are_read(read, scheme):
    labels = SCHEMES[scheme].split()
    rows = [f"{token}\t{label}" for token, label in zip("abcdef", labels, strict=True)]
    (post,), (doc,), bad_rows = read("\n".join(rows))
    assert get_entities(doc) == [("a b c", "PER"), ("e", "LOC"), ("f", "LOC")]
    assert post.scheme == scheme
    assert post.stray_starts == 0
    assert not bad_rows


def test_an_entity_that_is_not_opened_or_not_closed_is_read_as_in_the_usual_scorers(read):
    labels = ["E-PER", "O", "B-PER", "O", "I-LOC", "E-LOC", "E-LOC", "B-PER", "S-PER"]
    rows = [f"{token}\t{label}" for token, label in zip("abcdefghi", labels, strict=True)]
    (post,), (doc,), _ = read("\n".join(rows))
    expected = [
        ("a", "PER"),
        ("c", "PER"),
        ("e f", "LOC"),
        ("g", "LOC"),
        ("h", "PER"),
        ("i", "PER"),
    ]
    assert get_entities(doc) == expected
    assert post.stray_starts == 3


def test_letters_of_several_schemes_are_named(read):
    posts, docs, _ = read("a\tB-PER\nb\tL-PER\n\nc\tB-PER\nd\tE-PER\n")
    assert [get_entities(doc) for doc in docs] == [[("a b", "PER")], [("c d", "PER")]]
    assert {post.scheme for post in posts} == {"letters B, E, L"}


def test_labels_without_prefix_are_types(read):
    text = "Ada\tPER\nLovelace\tPER\nin\tO\nParis\tLOC\nOhio\tbuilding-other\n"
    (post,), (doc,), bad_rows = read(text)
    assert get_entities(doc) == [
        ("Ada Lovelace", "PER"),
        ("Paris", "LOC"),
        ("Ohio", "building-other"),
    ]
    assert (post.scheme, post.stray_starts) == ("types without prefix", 0)
    assert not bad_rows


def test_a_file_in_which_every_token_is_o_has_no_entity(read):
    (post,), (doc,), bad_rows = read("Ada\tO\n")
    assert (post.scheme, get_entities(doc)) == ("only O", [])
    assert not bad_rows


@pytest.mark.parametrize("label", ["0", "o", "_", "-", "NONE", "B_PER", "b-PER", "PER-B", "I.PER"])
def test_among_labels_without_prefix_one_that_looks_like_something_else_is_refused(read, label):
    _, docs, ((line, reason),) = read(f"Ada\tPER\nis\tO\n\nBob\t{label}\n")
    assert len(docs) == 1
    assert line == 4
    assert repr(label) in reason


def test_a_row_with_other_columns_is_no_label_without_prefix(read):
    text = "Ada sings\nAda\tNNP\tPER\nsings\tVBZ\tO\n\nBob\tNNP\n\nEve\tNNP\tPER\n"
    _, docs, bad_rows = read(text)
    assert [get_entities(doc) for doc in docs] == [[("Eve", "PER")]]
    assert [line for line, _ in bad_rows] == [1, 5]


@pytest.mark.parametrize("text", ["Ada\tNNP\nsings\tVBZ\n", "A post of prose.\nAnother one.\n"])
def test_a_column_without_o_and_prefixes_is_no_column_of_labels(read, text):
    with pytest.raises(MsvseError, match=r"MSVSE-E140.*posts\.txt.*--label-column"):
        read(text)


@pytest.mark.parametrize(
    "columns", [{"label_column": 1}, {"token_column": 2, "label_column": 2}, {"token_column": 0}]
)
def test_the_column_of_the_tokens_is_not_that_of_the_labels(read, columns):
    with pytest.raises(MsvseError, match="MSVSE-E081"):
        read("Ada\tO\n", **columns)


def test_a_post_without_tokens_is_reported(read):
    _, docs, bad_rows = read("IMGID:1\n\nIMGID:2\nAda\tO\n\nIMGID:3\n")
    assert [doc._.image for doc in docs] == ["2.jpg"]
    assert bad_rows == [(1, "the post has no tokens"), (6, "the post has no tokens")]


def test_posts_under_a_picture_line_without_a_name_are_left_out(read):
    _, (doc,), bad_rows = read("IMGID:\nAda\tO\n\nBob\tO\n\nIMGID:1\nEve\tO\n")
    assert doc._.image == "1.jpg"
    assert [line for line, _ in bad_rows] == [1, 1]


@pytest.fixture
def weibo(tmp_path):
    """A folder of pictures for posts with several pictures."""
    folder = tmp_path / "weibo"
    folder.mkdir()
    for name in ("Lm7_b.png", "Lm7_a.jpg", "Lm77_a.jpg", "Lk2_c.jpg", "Lk2.txt"):
        (folder / name).touch()
    return folder


def test_a_post_has_all_pictures_of_its_id(read, weibo):
    text = "WID:Lm7\r\n龙\tB-LOC\r\n岩\tI-LOC\r\n\r\nWID:Lm77\r\n我\tO\r\n"
    _, docs, bad_rows = read(text, image_root=weibo)
    assert [doc._.images for doc in docs] == [["Lm7_a.jpg", "Lm7_b.png"], ["Lm77_a.jpg"]]
    assert [doc.user_data["meta"] for doc in docs] == [{"id": "Lm7"}, {"id": "Lm77"}]
    assert get_entities(docs[0]) == [("龙 岩", "LOC")]
    assert not bad_rows


@pytest.mark.parametrize("ids", ["Lm77 Lm7", "Lm77,Lm7", "Lm77 , Lm7 ,"])
def test_a_post_may_name_several_pictures(read, weibo, ids):
    _, (doc,), _ = read(f"WID:{ids}\nAda\tO\n", image_root=weibo)
    assert doc._.images == ["Lm77_a.jpg", "Lm7_a.jpg", "Lm7_b.png"]


def test_pictures_that_are_not_in_the_folder_are_still_named(read, weibo):
    for folder in (None, weibo):
        _, (doc,), bad_rows = read("WID:Lx1\nAda\tO\n", image_root=folder)
        assert doc._.image == "Lx1.jpg"
        assert not bad_rows


def test_on_twitter_one_picture_name_can_be_the_beginning_of_another(read, weibo):
    _, (doc,), _ = read("IMGID:Lm7\nAda\tO\n", image_root=weibo)
    assert doc._.image == "Lm7.jpg"


def test_pictures_lines_without_a_name_are_reported(read, weibo):
    _, docs, bad_rows = read("WID: ,\nAda\tO\n", image_root=weibo)
    assert not docs
    assert [line for line, _ in bad_rows] == [1]
