"""A BiLSTM over static vectors is saved and loaded as any encoder. It accepts no prefixes."""

import pytest
import torch

from spacy_msvse import build_network
from spacy_msvse.errors import MsvseError
from spacy_msvse.network.encoders.families import build_encoder
from spacy_msvse.network.inputs import WordPieces
from spacy_msvse.network.pretrained import load_pretrained
from spacy_msvse.network.static_vectors import save_bilstm, save_bilstm_of_encoder

from ..tiny import save_encoder

WORDS = ["paris", "saw", "the", "rain"]
VECTORS = torch.arange(24.0).view(4, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bilstm")
    save_bilstm(WORDS, VECTORS, folder, num_layers=2)
    return folder


@pytest.fixture
def encoder(folder):
    return load_pretrained(str(folder))[0].eval()


def pieces_of(tokenizer, *texts: str) -> WordPieces:
    encoded = tokenizer([text.split() for text in texts], is_split_into_words=True, padding=True)
    ids, mask = (torch.tensor(encoded[key]) for key in ("input_ids", "attention_mask"))
    return WordPieces(ids, mask.bool(), torch.zeros_like(ids))


def test_a_word_without_a_vector_gets_the_mean_of_all(folder, encoder):
    _, tokenizer = load_pretrained(str(folder))
    hidden = encoder.embed(pieces_of(tokenizer, "PARIS saw nobody"))
    assert torch.equal(hidden[0, 1:3], VECTORS[:2]), "all vectors are in lower case"
    assert torch.equal(hidden[0, 3], VECTORS.mean(dim=0))


def test_words_keep_their_case_if_a_vector_has_a_capital_letter(tmp_path):
    save_bilstm(["Paris", "paris"], VECTORS[:2], tmp_path)
    encoder, tokenizer = load_pretrained(str(tmp_path))
    hidden = encoder.eval().embed(pieces_of(tokenizer, "Paris paris"))
    assert torch.equal(hidden[0, 1:3], VECTORS[:2])


def test_a_word_depends_on_both_sides_and_padding_changes_nothing(folder, encoder):
    _, tokenizer = load_pretrained(str(folder))
    texts = ("the rain saw", "paris rain saw", "the rain paris", "saw paris rain the")
    first, other_left, other_right, _ = encoder(pieces_of(tokenizer, *texts))
    for other in (other_left, other_right):
        assert not torch.allclose(first[2], other[2], atol=1e-4)
    alone = encoder(pieces_of(tokenizer, texts[0]))[0]
    torch.testing.assert_close(first[: len(alone)], alone)


def test_the_word_embeddings_of_an_encoder_become_static_vectors(tmp_path):
    source = save_encoder(tmp_path / "source")
    save_bilstm_of_encoder(source, tmp_path / "bilstm")
    theirs, tokenizer = load_pretrained(source)
    ours, _ = load_pretrained(str(tmp_path / "bilstm"))
    pieces = pieces_of(tokenizer, "florence again")
    assert torch.equal(ours.eval().embed(pieces), theirs.model.get_input_embeddings()(pieces.ids))


def test_each_seed_has_its_own_lstm_and_the_folder_is_always_the_same(folder, tmp_path):
    def layers(seed):
        torch.manual_seed(seed)
        encoder, _ = load_pretrained(str(folder))
        assert torch.equal(encoder.model.embeddings.weight[-4:], VECTORS)
        return torch.cat([weights.flatten() for weights in encoder.layers.parameters()])

    first, again, other = layers(0), layers(0), layers(1)
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).any()
    bound = (VECTORS.shape[1] // 2) ** -0.5
    assert first.abs().max() <= bound
    assert first.std() > bound / 3

    save_bilstm(WORDS, VECTORS, tmp_path, num_layers=2)
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_the_configuration_builds_the_same_encoder(folder, encoder):
    again = build_encoder(encoder.config).eval()
    again.load_state_dict(encoder.state_dict())
    pieces = pieces_of(load_pretrained(str(folder))[1], "the rain saw paris")
    assert torch.equal(again(pieces), encoder(pieces))
    assert again.num_layers == 2


@pytest.mark.parametrize(
    "settings", [{"prefix_views": ["caption"]}, {"prefix_views": [], "shared_depth": 0.5}]
)
def test_prefixes_and_shared_layers_are_coded_errors(settings, encoder):
    with pytest.raises(ValueError, match="MSVSE-E007"):
        build_network({"types": ["PER"], **settings}, encoder=encoder)


def test_an_odd_width_is_a_coded_error(tmp_path):
    with pytest.raises(MsvseError, match="MSVSE-E018"):
        save_bilstm(WORDS, VECTORS[:, :3], tmp_path)
