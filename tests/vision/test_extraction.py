"""One pass over posts: every item once, each post its own features and problems, in order."""

import numpy as np
import pytest

from spacy_msvse.vision.extraction import Extraction, PostSource, extract_posts
from spacy_msvse.vision.extractor import VisualExtractor
from spacy_msvse.vision.extractors.tag_caption import TagCaption
from spacy_msvse.vision.features import RegionFeatures
from spacy_msvse.vision.picture import picture_key
from spacy_msvse.vision.store import FeatureStore

from ..tiny import reasons
from .conftest import CountingExtractor, PickyExtractor, encode, photo, sources


@pytest.fixture
def visual(counting):
    return VisualExtractor(regions=counting, tags=CountingExtractor(), caption=TagCaption())


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(5):
        (folder / f"{seed}.png").write_bytes(encode(photo(seed)))
    (folder / "bad.png").write_bytes(encode(photo(9))[:60])
    return folder


@pytest.fixture
def picky(root):
    """Fails on one picture of the folder."""
    (root / "wide.png").write_bytes(encode(photo(9, size=(64, 8))))
    return VisualExtractor(tags=PickyExtractor())


@pytest.fixture
def store(tmp_path):
    with FeatureStore(tmp_path / "store") as store:
        yield store


@pytest.fixture(params=[0, 3])
def workers(request):
    return request.param


def extract(visual, posts, **settings) -> list[Extraction]:
    return list(extract_posts(visual, posts, **settings))


def batch_sizes(monkeypatch, visual) -> list[int]:
    """The size of each batch from now on."""
    sizes: list[int] = []
    extract = visual.extract_prepared
    monkeypatch.setattr(visual, "extract_prepared", lambda p: sizes.append(len(p)) or extract(p))
    return sizes


# Posts of one picture


def test_each_post_has_features_or_a_problem_or_neither(visual, root, workers):
    pictures = ["0.png", None, "bad.png", (root / "1.png").read_bytes(), "missing.png", "../x.png"]
    found = extract(visual, sources(*pictures), image_root=root, batch_size=4, workers=workers)
    views = ["caption", "regions", "tags"]
    full = [sorted(one.features) == views for one in found]
    assert full == [True, False, False, True, False, False]
    assert [sorted(reasons(one.problems)) for one in found] == [[], [], views, [], views, views]
    assert "E020" in reasons(found[2].problems)["tags"]
    assert "bad.png" in reasons(found[2].problems)["tags"]
    assert "missing.png" in reasons(found[4].problems)["caption"]
    assert "E021" in reasons(found[5].problems)["regions"]


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_equal_pictures_are_extracted_once(
    visual, counting, root, store, stored, batch_size, workers
):
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    posts = sources("0.png", "1.png", "copy.png", "0.png", "2.png")
    used = store if stored else None
    found = extract(
        visual, posts, image_root=root, store=used, batch_size=batch_size, workers=workers
    )
    assert counting.extracted == 3
    first, second, copy, *_ = (one.features["regions"].vectors for one in found)
    assert np.array_equal(first, copy)
    assert not np.array_equal(first, second)


def test_features_of_equal_pictures_can_be_changed_apart(visual, root):
    for batch_size in (1, 2):
        posts = sources("0.png", "0.png")
        first, second = extract(visual, posts, image_root=root, batch_size=batch_size)
        first.features["tags"].append("mine")
        assert second.features["tags"] == ["48 wide", "32 high"]


def test_stored_picture_is_neither_decoded_nor_extracted(visual, root, store, monkeypatch):
    posts = sources("0.png", "1.png")
    fresh = extract(visual, posts, image_root=root, store=store)

    def fail(*args, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr("spacy_msvse.vision.picture_reader.decode_picture", fail)
    monkeypatch.setattr(visual, "extract_prepared", fail)
    for before, after in zip(
        fresh, extract(visual, posts, image_root=root, store=store), strict=True
    ):
        assert after.problems == []
        assert np.array_equal(before.features["regions"].vectors, after.features["regions"].vectors)
        for view in ("tags", "caption"):
            assert before.features[view] == after.features[view]


def test_renamed_picture_is_still_stored(visual, counting, root, store):
    extract(visual, sources("0.png"), image_root=root, store=store)
    (root / "0.png").rename(root / "renamed.png")
    (found,) = extract(visual, sources("renamed.png"), image_root=root, store=store)
    assert "tags" in found.features
    assert counting.extracted == 1


def test_features_of_another_extractor_are_not_used(visual, root, store):
    extract(visual, sources("0.png"), image_root=root, store=store)
    other = CountingExtractor("other")
    extract(VisualExtractor(regions=other), sources("0.png"), image_root=root, store=store)
    assert other.extracted == 1
    assert len(store) == 2


def test_readonly_store_is_read_and_left_alone(visual, counting, root, store, workers):
    extract(visual, sources("0.png"), image_root=root, store=store)
    reader = FeatureStore(store.path, readonly=True)
    posts = sources("0.png", "1.png", "0.png", "1.png")
    found = extract(visual, posts, image_root=root, store=reader, workers=workers)
    assert all("tags" in one.features for one in found)
    assert counting.extracted == 2
    assert len(store) == 1


def test_no_more_pictures_are_decoded_than_a_batch_holds(visual, root, monkeypatch):
    sizes = batch_sizes(monkeypatch, visual)
    posts = sources(*(f"{seed}.png" for seed in range(5)))
    stream = extract_posts(visual, posts, image_root=root, batch_size=2)
    next(stream)
    assert sizes == [2]
    list(stream)
    assert sizes == [2, 2, 1]


def test_few_posts_wait_for_a_batch_to_fill(visual, root, store, monkeypatch):
    extract(visual, sources("0.png"), image_root=root, store=store)
    read = 0

    def posts():
        nonlocal read
        for picture in ("1.png", *["0.png"] * 200, "2.png"):
            read += 1
            yield from sources(picture)

    stream = extract_posts(visual, posts(), image_root=root, store=store, batch_size=2)
    next(stream)
    assert 2 <= read <= 40
    assert len(list(stream)) == 201


def test_stored_posts_are_not_held_up(visual, root, store):
    extract(visual, sources("0.png"), image_root=root, store=store)

    def posts():
        yield from sources("0.png")
        raise RuntimeError("read too far")

    assert "tags" in next(extract_posts(visual, posts(), image_root=root, store=store)).features


def test_picture_that_the_extractor_fails_on_is_a_problem_of_its_post(root, picky, workers):
    posts = sources("0.png", "wide.png", "1.png")
    found = extract(picky, posts, image_root=root, workers=workers)
    assert [sorted(one.features) for one in found] == [["tags"], [], ["tags"]]
    assert (
        "E061] The extractor failed on picture 'wide.png': too wide."
        in (reasons(found[1].problems)["tags"])
    )


def test_extractor_that_fails_on_a_whole_first_batch_ends_the_run(picky, root, workers):
    with pytest.raises(RuntimeError, match="too wide"):
        extract(picky, sources("wide.png"), image_root=root, workers=workers)


def test_extractor_that_has_worked_may_fail_on_a_whole_batch(picky, root):
    posts = sources("0.png", "wide.png")
    found = extract(picky, posts, image_root=root, batch_size=1)
    assert "E061" in reasons(found[1].problems)["tags"]


def test_extractor_that_has_worked_by_the_store_may_fail_on_a_whole_batch(picky, root, store):
    extract(picky, sources("0.png"), image_root=root, store=store)
    (found,) = extract(picky, sources("wide.png"), image_root=root, store=store)
    assert found.features == {}
    assert "E061" in reasons(found.problems)["tags"]


def test_extractor_gets_the_items_that_it_prepared(visual, counting):
    counting.prepare = lambda picture: picture.resize((8, 4))
    (found,) = extract(visual, sources(encode(photo())))
    assert visual.extract([photo()])[0]["tags"] == found.features["tags"] == ["8 wide", "4 high"]


def test_progress_counts_posts(visual, root):
    done: list[int] = []
    extract(visual, sources("0.png", None, "bad.png"), image_root=root, progress=done.append)
    assert sum(done) == 3


# Wanted and given views


def test_only_wanted_views_are_returned(visual, root):
    (post,) = sources("0.png")
    wanted = PostSource(pictures=post.pictures, views=frozenset(["caption", "unknown"]))
    (found,) = extract(visual, [wanted], image_root=root)
    assert found.features == {"caption": "a picture of 48 wide and 32 high"}


@pytest.mark.parametrize("views", [frozenset(), frozenset(["ocr"])])
def test_no_picture_is_read_where_no_view_of_it_is_wanted(visual, counting, views):
    post = PostSource(pictures=("missing.png",), views=views)
    assert extract(visual, [post]) == [Extraction()]
    assert counting.extracted == 0


def test_given_views_are_not_extracted(counting):
    given = {"tags": ["mine"]}
    post = PostSource(pictures=("missing.png",), given=given)
    assert extract(VisualExtractor(tags=counting), [post]) == [Extraction()]


# Posts of several pictures


def test_features_of_several_pictures_are_merged(visual, root, workers):
    (root / "large.png").write_bytes(encode(photo(7, size=(96, 32))))
    post = PostSource(pictures=("0.png", "large.png", "1.png"))
    (found,) = extract(visual, [post], image_root=root, workers=workers)
    regions = found.features["regions"]
    assert regions.pictures.tolist() == [0, 1, 2]
    assert regions.vectors.shape == (3, 3)
    assert regions.boxes.shape == (3, 4)
    assert found.features["tags"] == ["48 wide", "32 high", "96 wide"]
    assert found.features["caption"] == (
        "a picture of 48 wide and 32 high a picture of 96 wide and 32 high"
    )
    for number, name in enumerate(post.pictures):
        (alone,) = extract(visual, sources(name), image_root=root)
        assert alone.features["regions"].pictures is None
        assert np.array_equal(alone.features["regions"].vectors[0], regions.vectors[number])


def test_a_picture_that_a_post_has_twice_counts_once(visual, counting, root):
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    post = PostSource(pictures=("0.png", "copy.png", "1.png", "missing.png", "missing.png"))
    (found,) = extract(visual, [post], image_root=root)
    assert counting.extracted == 2
    assert found.features["regions"].pictures.tolist() == [0, 2]
    assert [one.picture for one in found.problems if one.view == "tags"] == [3, 4]
    assert {n: views["tags"] for n, views in found.texts.items()} == {
        0: ["48 wide", "32 high"],
        2: ["48 wide", "32 high"],
    }


@pytest.mark.parametrize("kind", ["picture", "post"])
def test_so_many_pictures_are_in_memory_for_posts_with_many(counting, kind):
    """Posts of eight pictures, read in threads: hardly more of them than in posts of one."""
    visual = VisualExtractor(tags=counting)
    if kind == "post":
        visual = VisualExtractor(knowledge=Describer())
    started = {}
    for count in (1, 8):
        data = [encode(photo(seed)) for seed in range(240)]
        posts = [PostSource(f"{n}", tuple(data[n : n + count])) for n in range(0, 240, count)]
        taken = []

        def stream(posts=posts, taken=taken):
            for post in posts:
                taken.extend(post.pictures)
                yield post

        next(extract_posts(visual, stream(), workers=2, batch_size=8))
        started[count] = len(taken)
    assert started[8] <= started[1] + 4 * 8
    assert started[8] < 120


def test_pictures_that_can_be_read_keep_their_number_beside_a_bad_one(visual, root):
    post = PostSource(pictures=("missing.png", "1.png"))
    (found,) = extract(visual, [post], image_root=root)
    assert found.features["regions"].pictures.tolist() == [1]
    assert "missing.png" in reasons(found.problems)["regions"]


def test_a_record_is_kept_for_each_picture_of_a_post(visual, counting, root, store):
    post = PostSource(pictures=("0.png", "1.png"))
    extract(visual, [post], image_root=root, store=store)
    assert len(store) == 2
    extract(visual, sources("1.png"), image_root=root, store=store)
    assert counting.extracted == 2


# Extractors that read posts


class Describer:
    """Describes the text, the number of pictures and the known views of a post."""

    fills = ("knowledge",)
    reads = "post"
    region_dim = 0
    fingerprint = "describer"
    extracted = 0

    def initialize(self) -> None: ...

    def extract(self, items, known):
        self.extracted += len(items)
        return [
            {"knowledge": f"{post.text}, {len(post.pictures)} pictures, {sorted(views)}"}
            for post, views in zip(items, known, strict=True)
        ]

    def to_files(self) -> dict[str, bytes]:
        return {}

    def from_files(self, files) -> None: ...


def describe(visual, *posts, **settings) -> list[str]:
    return [one.features.get("knowledge") for one in extract(visual, posts, **settings)]


def test_a_post_reader_gets_text_pictures_and_known_views(counting, root, workers):
    visual = VisualExtractor(tags=counting, knowledge=Describer())
    found = describe(
        visual,
        PostSource("a", ("0.png", "1.png")),
        PostSource("b"),
        PostSource("", ("0.png",)),
        PostSource("c", ("0.png",), given={"caption": "mine", "tags": ["mine"]}),
        PostSource("", ()),
        image_root=root,
        workers=workers,
    )
    assert found == [
        "a, 2 pictures, ['tags']",
        "b, 0 pictures, []",
        ", 1 pictures, ['tags']",
        "c, 1 pictures, ['caption', 'tags']",
        None,
    ]


def test_a_post_reader_gets_region_vectors_that_the_user_gave(root):
    vectors = np.ones((1, 3), dtype="float32")
    regions = RegionFeatures(vectors, np.array([[0, 0, 1, 1]], dtype="float32"))
    visual = VisualExtractor(knowledge=Describer())
    (found,) = describe(visual, PostSource("a", given={"regions": regions}))
    assert found == "a, 0 pictures, ['regions']"


def test_features_of_posts_are_stored_by_text_pictures_and_given_views(counting, root, store):
    reader = Describer()
    visual = VisualExtractor(tags=counting, knowledge=reader)
    posts = [
        PostSource("a", ("0.png",)),
        PostSource("a", ("1.png",)),
        PostSource("b", ("0.png",)),
        PostSource("a", ("0.png",), given={"caption": "mine"}),
    ]
    found = describe(visual, *posts, *posts, image_root=root, store=store)
    assert (reader.extracted, counting.extracted) == (4, 2)
    assert found[:4] == found[4:] == describe(visual, *posts, image_root=root, store=store)
    assert (reader.extracted, len(store)) == (4, 6)
    other = VisualExtractor(tags=CountingExtractor("other"), knowledge=reader)
    describe(other, *posts, image_root=root, store=store)
    assert reader.extracted == 8


@pytest.mark.parametrize("tagged", [True, False])
def test_a_post_reader_works_beside_a_bad_picture_which_is_a_problem(counting, root, tagged):
    visual = VisualExtractor(tags=counting if tagged else None, knowledge=Describer())
    post = PostSource("a", ("bad.png", "0.png"))
    (found,) = extract(visual, [post], image_root=root)
    assert found.features["knowledge"].startswith("a, 1 pictures")
    assert "bad.png" in reasons(found.problems)["knowledge"]


def test_pictures_have_the_same_key_in_every_store(visual, root, store):
    """A post may name stored features by the key of the picture."""
    extract(visual, sources("0.png"), image_root=root, store=store)
    assert store.get(picture_key("0.png", root), visual.fingerprint) is not None
