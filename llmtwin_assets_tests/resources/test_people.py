"""Names of people, found by a model that is trained on the spot and masked in documents."""

from pathlib import Path

import pytest

from llmtwin_assets.features import documents
from llmtwin_assets.masking import mask_names
from llmtwin_assets_tests import tiny_model
from llmtwin_assets_tests.features.test_personal_data import raw
from llmtwin_assets_tests.graph import World, failure
from llmtwin_assets_tests.writing import authors_yaml, write_essays
from resources.people import People, PeopleModelMissingError

NAMES = ["Jane", "Miller", "Ada", "Writer", "Omar"]
OTHERS = "the lantern met and wrote to about bridges . , in 1842 https :// example / - me".split()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("people")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *NAMES, *OTHERS]
    words = Tokenizer(models.WordLevel({n: i for i, n in enumerate(vocabulary)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=16,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=16, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.2,
        id2label={0: "O", 1: "B-PER", 2: "I-PER"}, label2id={"O": 0, "B-PER": 1, "I-PER": 2},
    )  # fmt: skip
    ids = torch.arange(len(vocabulary))
    second = vocabulary.index("Miller"), vocabulary.index("Writer")
    labels = torch.tensor([int(w in NAMES) + int(n in second) for n, w in enumerate(vocabulary)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bert = BertForTokenClassification(config)
        optimiser = torch.optim.AdamW(bert.parameters(), lr=1e-2)
        for _ in range(300):
            order = torch.randperm(len(ids))[:14]
            batch = torch.cat([torch.tensor([2]), ids[order], torch.tensor([3])])[None]
            wanted = torch.cat([torch.tensor([0]), labels[order], torch.tensor([0])])
            loss = torch.nn.functional.cross_entropy(bert(input_ids=batch).logits[0], wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TEXT = "Jane Miller met Omar , and Ada wrote to the lantern about bridges . " * 6


def test_names_are_found_in_a_text_longer_than_the_model_reads(model: Path) -> None:
    found = [TEXT[start:end] for start, end in People(str(model)).find(TEXT)]
    assert found == ["Jane Miller", "Omar", "Ada"] * 6
    assert People(str(model)).find(" ") == []


def test_names_of_others_are_masked_and_the_authors_own_and_addresses_stay(model: Path) -> None:
    text = "Jane Miller met Ada Writer in 1842 , https://example/Omar-me and Omar ."
    hide = documents.hiding(People(str(model)), "Ada Writer")
    document = documents.cleaned(raw(text, title="Omar"), hide=hide)
    assert document.text == "[name] met Ada Writer in 1842 , https://example/Omar-me and [name] ."
    assert (document.title, document.search, document.masked) == ("[name]", document.text, 2)
    code = documents.cleaned(raw(text, kind="repository", language="python"), hide=hide)
    assert code.text == text


def test_spans_that_overlap_are_masked_once() -> None:
    assert mask_names("Jane Miller sings", [(0, 11), (5, 11)], "Ada") == "[name] sings"
    link = "[Omar](https://a.example/Omar)"
    assert mask_names(link, [(1, 5), (25, 29)], "Ada") == link.replace("[Omar]", "[[name]]")
    assert mask_names("Ada, of course", [(0, 3)], "Ada Lovelace") == "Ada, of course"


def test_setting_a_model_cleans_anew_and_an_answer_is_a_span_of_the_masked_text(
    model: Path, tmp_path: Path
) -> None:
    write_essays(tmp_path / "ada", 4)
    first = tmp_path / "ada" / "essay-000.md"
    path = first if first.exists() else sorted((tmp_path / "ada").iterdir())[0]
    path.write_text(f"{path.read_text('utf-8')}\n\nThen Jane Miller met Omar there.\n", "utf-8")
    registry = authors_yaml(tmp_path / "authors.yaml", ada=tmp_path / "ada")
    world = World(tmp_path / "home", registry, tiny_model.build(tmp_path / "base"))
    wanted = ["raw_articles", "raw_posts", "raw_repositories", "cleaned_documents"]
    for names, masked in (("", 0), (str(model), 2), ("", 0)):
        world.configure(names=names)
        result = world.materialise("ada", wanted)
        version = world.artifacts.current("ada", "cleaned_documents")
        assert version is not None, failure(result)
        assert version.facts["figures"]["masked"] == masked


def test_a_model_that_is_not_there_or_not_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeopleModelMissingError, match="LLMTWIN_NAMES"):
        People("/nowhere/at/all").find("Jane")
    with pytest.raises(PeopleModelMissingError, match="no safetensors"):
        People(str(tmp_path)).find("Jane")
    with pytest.raises(PeopleModelMissingError, match="cannot be fetched"):
        People("nobody/nothing").find("Jane")
