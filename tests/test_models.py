import pytest
import segmentation_models_pytorch as smp
import torch

from tests.conftest import tiny_study
from ubc_lib.losses import joint_loss
from ubc_lib.models import (
    NETWORKS,
    Output,
    build_model,
    check_networks,
    options,
    parameter_count,
    parameter_table,
    skip_connections,
)
from ubc_lib.system.errors import InputError

ENCODER = {
    "encoder stem": ("64x112x112", 3_264),
    "encoder level 1": ("64x56x56", 221_952),
    "encoder level 2": ("128x28x28", 1_116_416),
    "encoder level 3": ("256x14x14", 6_822_400),
    "encoder level 4": ("512x7x7", 13_114_368),
}
CLASSIFIER = {"classifier": ("2", 1_026)}
DECODER = {
    "decoder level 1": ("256x14x14", 2_360_320),
    "decoder level 2": ("128x28x28", 590_336),
    "decoder level 3": ("64x56x56", 147_712),
    "decoder level 4": ("32x112x112", 46_208),
    "decoder level 5": ("16x224x224", 6_976),
    "segmentation head": ("1x224x224", 145),
}


@pytest.mark.parametrize(
    ("model", "parts", "total"),
    [
        ("resnet34", ENCODER | CLASSIFIER, 21_279_426),
        ("ubc_resnet34", ENCODER | DECODER | CLASSIFIER, 24_431_123),
    ],
)
def test_every_row_of_tables_1_and_2_to_the_digit(model, parts, total):
    table = parameter_table(model).set_index("part")
    found = {row.Index: (row.output, row.parameters) for row in table.itertuples()}
    assert found == parts
    assert table["parameters"].sum() == parameter_count(build_model(model, 0)) == total


@pytest.mark.parametrize("model", NETWORKS)
def test_output_has_two_logits_per_image(model):
    assert build_model(model, 0)(torch.zeros(2, 1, 64, 64)).logits.shape == (2, 2)


def test_mask_has_the_size_of_the_image_and_the_baseline_has_none():
    images = torch.zeros(2, 1, 64, 96)
    assert build_model("ubc_resnet34", 0)(images).mask_logits.shape == (2, 1, 64, 96)
    assert build_model("resnet34", 0)(images).mask_logits is None


@pytest.mark.parametrize("part", ["encoder", "classification_head"])
def test_one_seed_starts_both_models_from_the_same_encoder_and_classifier(part):
    one, other = (getattr(build_model(name, 3), part).state_dict() for name in NETWORKS)
    assert one
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_another_seed_gives_another_network():
    one, other = (build_model("resnet34", seed).encoder.conv1.weight for seed in (0, 1))
    assert not torch.equal(one, other)


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_model("resnet34", 0)
    assert torch.equal(torch.rand(1), expected)


def test_the_mask_alone_sends_gradients_to_the_whole_encoder():
    model = build_model("ubc_resnet34", 0)
    model(torch.randn(2, 1, 64, 64)).mask_logits.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.encoder.parameters())
    assert all(p.grad is None for p in model.classification_head.parameters())


def test_an_unknown_model_is_named():
    with pytest.raises(InputError, match=r"'resnet43'.*Did you mean 'resnet34'"):
        build_model("resnet43", 0)


def test_a_study_of_an_unknown_network_is_refused_with_the_model_that_names_it():
    study = tiny_study(models={"resnet34": {}, "mine": {"network": "resnet43"}})
    with pytest.raises(InputError, match=r"'resnet43' in model 'mine'.*Did you mean 'resnet34'"):
        check_networks(study)


def test_the_decoder_takes_in_four_levels_of_the_encoder():
    assert skip_connections("ubc_resnet34") == {
        "decoder level 1": "encoder level 3",
        "decoder level 2": "encoder level 2",
        "decoder level 3": "encoder level 1",
        "decoder level 4": "encoder stem",
    }
    assert skip_connections("resnet34") == {}


class Tiny(torch.nn.Module):
    """A network that is none of the paper's."""

    draws_masks = False

    def __init__(self):
        super().__init__()
        self.first_layer = torch.nn.Conv2d(1, 4, 3)
        self.pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.classifier = torch.nn.Linear(4, 2)

    def forward(self, images):
        return Output(self.classifier(self.pooled(self.first_layer(images))), None)


def test_the_parts_of_any_other_network_are_its_children(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    table = parameter_table("tiny", image_size=32).set_index("part")
    assert table["output"].tolist() == ["4x30x30", "4", "2"]
    assert table["parameters"].tolist() == [40, 0, 10]


def gradients(model, images, target, masks) -> dict[str, torch.Tensor]:
    """Of the joint loss, on the encoder and the classifier."""
    joint_loss(model(images), target, masks, 0.5)[0].backward()
    return {k: p.grad for k, p in model.named_parameters() if k[:7] in ("encoder", "classif")}


def test_without_the_masks_gradient_encoder_and_classifier_learn_from_labels_alone():
    images, target = torch.randn(4, 1, 64, 64), torch.tensor([0, 1, 1, 0])
    given = images, target, images > 1
    baseline = gradients(build_model("resnet34", 1), *given)
    alone = gradients(build_model("ubc_resnet34", 1, mask_gradient=False), *given)
    joint = gradients(build_model("ubc_resnet34", 1), *given)
    # Half the label's gradient, since α is 0.5: to the last bit.
    assert all(torch.equal(2 * alone[name], baseline[name]) for name in baseline)
    assert any(not torch.equal(2 * joint[name], baseline[name]) for name in baseline)


def test_without_the_masks_gradient_the_decoder_learns_as_ever():
    images, target = torch.randn(2, 1, 64, 64), torch.tensor([0, 1])
    models = [build_model("ubc_resnet34", 1, mask_gradient=on) for on in (True, False)]
    for model in models:
        joint_loss(model(images), target, images > 1, 0.5)[0].backward()
    one, other = (list(model.decoder.parameters()) for model in models)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(one, other, strict=True))


def test_a_mask_is_drawn_at_every_scale_of_the_decoder():
    model = build_model("ubc_resnet34", 0, deep_supervision=True)
    output = model(torch.zeros(2, 1, 64, 64))
    assert [tuple(one.shape) for one in output.coarser] == [
        (2, 1, side, side) for side in (4, 8, 16, 32)
    ]
    assert len(model(torch.zeros(2, 1, 64, 64)).coarser) == 4
    assert build_model("ubc_resnet34", 0)(torch.zeros(2, 1, 64, 64)).coarser == ()


def test_the_librarys_start_is_that_of_its_own_network():
    made = build_model("ubc_resnet34", 3, start="library").state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        build = smp.Unet(
            "resnet34",
            encoder_weights=None,
            in_channels=1,
            aux_params={"classes": 2, "pooling": "avg", "dropout": None},
        )
    heads = [build.classification_head[-2], build.segmentation_head[0]]
    bound = [(6 / sum(torch.nn.init._calculate_fan_in_and_fan_out(h.weight))) ** 0.5 for h in heads]
    ours = [made["classification_head.3.weight"], made["segmentation_head.0.weight"]]
    for weight, limit in zip(ours, bound, strict=True):
        assert 0.9 * limit < weight.abs().max() <= limit
    assert not made["classification_head.3.bias"].any()
    shared = build_model("ubc_resnet34", 3).state_dict()
    assert torch.equal(made["encoder.conv1.weight"], shared["encoder.conv1.weight"])


def test_a_second_channel_is_taken_in_where_the_mask_is_an_input():
    study = tiny_study(mask_input=True)
    for name in NETWORKS:
        model = build_model(name, 0, **options(study, name))
        assert model(torch.zeros(2, 2, 64, 64)).logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"network": "resnet34", "masks_of": "another"}, "masks_of"),
        ({"network": "resnet34", "mask_gradient": False}, "mask_gradient"),
        ({"network": "tiny", "mask_input": True}, "in_channels"),
    ],
)
def test_what_a_network_cannot_do_is_refused_by_name(monkeypatch, entry, named):
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    study = tiny_study(models={"resnet34": {}, "mine": entry})
    with pytest.raises(InputError, match=rf"cannot do .*{named}.*model 'mine'"):
        check_networks(study)


def test_a_setting_of_the_whole_study_asks_nothing_of_networks_without_masks():
    study = tiny_study(dice="image", start="library", masks_of="another")
    check_networks(study)
    assert options(study, "resnet34") == {}
    assert options(study, "ubc_resnet34") == {"start": "library"}


def test_a_label_each_has_a_channel_each_in_the_head_alone():
    study = tiny_study(
        models={"resnet34": {}, "parts": {"network": "ubc_resnet34", "mask": "labels"}}
    )
    check_networks(study)
    model = build_model("ubc_resnet34", 0, **options(study, "parts"))
    assert model(torch.zeros(2, 1, 64, 64)).mask_logits.shape == (2, 3, 64, 64)
    assert parameter_count(model) == 24_431_123 + 2 * 145


@pytest.mark.parametrize("training", [True, False])
def test_both_models_classify_alike_until_they_are_trained(training):
    """The classifier reads the encoder alone: the decoder beside it changes no logit."""
    images = torch.randn(4, 1, 64, 64)
    one, other = (build_model(name, 5).train(training)(images).logits for name in NETWORKS)
    assert torch.equal(one, other)


def test_with_the_label_alone_the_boosted_encoder_learns_what_the_baselines_does():
    images, target = torch.randn(4, 1, 64, 64), torch.tensor([0, 1, 1, 0])
    found = []
    for name in NETWORKS:
        model = build_model(name, 1)
        joint_loss(model(images), target, images > 1, 1.0)[0].backward()
        found.append(model.encoder.layer4[0].conv1.weight.grad)
    assert found[0].any()
    assert torch.equal(*found)


def test_equation_1_is_one_linear_layer_of_the_mean_of_the_last_map():
    model, images = build_model("resnet34", 0).eval(), torch.randn(2, 1, 64, 96)
    *_, linear = (one for one in model.classification_head if isinstance(one, torch.nn.Linear))
    mean = model.encoder(images)[-1].mean(dim=(2, 3))
    expected = mean @ linear.weight.T + linear.bias
    assert torch.allclose(model(images).logits, expected, atol=1e-5)
