import re

import pytest
import yaml
from pydantic import ValidationError

from tests.conftest import tiny_study
from ubc_lib.results.record import computing_settings
from ubc_lib.study import Study, parts_of
from ubc_lib.study.files import ROOT, study_names
from ubc_lib.system.errors import InputError


@pytest.mark.parametrize("name", study_names())
def test_every_study_in_the_folder_loads(name):
    assert Study.load(name).name == name


def test_paper_has_the_numbers_of_the_paper():
    study = Study.load("paper")
    assert (study.patients_per_class, study.slices_per_patient, study.image_size) == (76, 5, 224)
    assert (study.epochs, study.batch_size, study.alpha) == (200, 50, 0.5)
    assert (study.learning_rate, study.decay, study.decay_every) == (2e-5, 0.9, 5)
    assert study.images_per_class == (1, 2, 3, 5, 8, 10, 15, 19, 25, 38, 76, 190)


def test_settings_change_a_study_under_a_name_of_its_own():
    study = Study.load("quick", "epochs=5 images_per_class=[1,2]")
    assert (study.epochs, study.images_per_class) == (5, (1, 2))
    assert study.name == "quick-epochs_5-images_per_class_1.2"


def test_order_of_settings_does_not_change_the_name():
    one, other = "epochs=5 batch_size=4", "batch_size=4 epochs=5"
    assert Study.load("quick", one).name == Study.load("quick", other).name


def test_settings_that_change_nothing_keep_the_name():
    quick = Study.load("quick")
    assert Study.load("quick", f"epochs={quick.epochs}").name == "quick"


def test_a_default_given_as_a_setting_keeps_the_name():
    assert Study.load("quick", "alpha=0.5") == Study.load("quick")


def test_many_settings_still_give_a_short_name_of_its_own():
    few = "epochs=5 batch_size=4 seeds=[1,2,3,4] images_per_class=[1,2,3,4,5,6] decay_every=7"
    names = {Study.load("quick", few).name, Study.load("quick", few + " alpha=0.4").name}
    assert len(names) == 2
    assert max(map(len, names)) <= 80


@pytest.mark.parametrize("setting", ["graphs=off", "artefacts=true"])
def test_what_changes_no_run_goes_on_with_the_studys_own(setting):
    assert Study.load("quick", setting).name == "quick"
    assert Study.load("quick", setting) != Study.load("quick")
    both = Study.load("quick", f"{setting} epochs=5")
    assert both.name == Study.load("quick", "epochs=5").name


def test_a_run_can_be_named():
    assert Study.load("quick", "epochs=5 name=mine").name == "mine"


def test_the_page_on_own_data_shows_one_study_as_a_command_and_as_a_file(tmp_path, monkeypatch):
    page = (ROOT / "book" / "own_data.md").read_text(encoding="utf-8")
    command = re.search(r'SET="([^"]+)"', page)[1].replace("\\\n", " ")
    as_command = Study.load("paper", command)
    monkeypatch.setattr("ubc_lib.study.files.STUDIES", tmp_path)
    (tmp_path / "mine.yaml").write_text(re.search(r"yaml\n(.+?)```", page, re.DOTALL)[1])
    assert Study.load("mine") == as_command


def test_a_study_like_another_differs_in_what_its_file_says_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("ubc_lib.study.files.STUDIES", tmp_path)
    first = {"title": "First", "cohort": "phantom", "images_per_class": [2], "seeds": [0, 1]}
    second = {"title": "Second", "like": "first", "seeds": [7]}
    for name, fields in {"first": first, "second": second, "third": {"like": "second"}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    own = {"name": "second", "title": "Second", "seeds": (7,)}
    assert Study.load("second") == Study.load("first").model_copy(update=own)
    assert Study.load("second", "seeds=[7]").name == "second"
    assert Study.load("third").seeds == (7,)
    for other, problem in {"frist": "no study 'frist'", "third": "circle: second, third"}.items():
        (tmp_path / "second.yaml").write_text(yaml.safe_dump(second | {"like": other}))
        with pytest.raises(InputError, match=problem):
            Study.load("second")


def test_the_name_of_another_study_is_refused():
    with pytest.raises(InputError, match="paper is taken"):
        Study.load("quick", "epochs=5 name=paper")


def test_a_root_below_the_home_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(Study.load("brats2019", "", "~/brats").cohort_root) == "/somewhere/brats"


def test_cohort_root_leaves_the_name():
    assert Study.load("brats2019", cohort_root="/data").name == "brats2019"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("quik", "", "no study 'quik'.*quick"),
        ("../paper", "", "no study"),
        ("quick", "epocs=5", "'epocs'.*Did you mean 'epochs'"),
        ("quick", "epochs=-1", "epochs: .*greater than 0.*-1"),
        ("quick", "epochs=many", "epochs: .*integer.*'many'"),
        ("quick", "image_size=50", "image_size: .*multiple of 32.*50"),
        ("quick", "learning_rate=.nan", "learning_rate"),
        ("quick", "models=[resnet34,resnet34]", "models names a value twice"),
        ("quick", "models=resnet34", "models must name one or more models.*'resnet34'"),
        ("quick", "seeds=3", r"seeds: a list is needed, such as \[3\], got 3"),
        ("quick", "mask_above=1 mask_value=2", "mask_above and mask_value both say"),
        ("quick", "models=[]", "models must name one or more models"),
        ("quick", "models='{fast: {learning_rat: 1}}'", "models.fast.learning_rat"),
        (
            "quick",
            "models='{fast: {learning_rate: 3}}'",
            "models.fast.learning_rate: .*less than 1",
        ),
        (
            "quick",
            "models='{a: , b: {against: c}}'",
            "b is compared with 'c', none of the models",
        ),
        ("quick", "baseline=resnet43", "baseline is compared with 'resnet43'"),
        ("quick", "models=[dummy]", "rename the model"),
        ("quick", "models='{fast: 3}'", "models.fast must hold settings, got 3"),
        ("quick", "seeds=[]", "seeds"),
        ("quick", "seeds=[1,1]", "seeds names a value twice"),
        ("quick", "more_seeds=[3,3] more_seeds_at=[2]", "more_seeds names a value twice"),
        ("quick", "more_seeds=[2]", "more_seeds need more_seeds_at"),
        ("quick", "epochs", "key=value"),
        ("quick", "epochs=1 epochs=2", "each key once"),
        ("quick", "seeds=[1, 2]", "no spaces"),
        ("quick", "name=../elsewhere", "name"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(name, settings, message):
    with pytest.raises(InputError, match=message):
        Study.load(name, settings)


def test_a_subset_larger_than_the_training_half_is_refused():
    with pytest.raises(InputError, match=r"asks for 5 images.*holds 4 per class"):
        tiny_study(images_per_class=[1, 5])


def test_more_seeds_are_planned_at_their_sizes_only():
    study = tiny_study(models=("resnet34",), seeds=(0,), more_seeds=(5, 6), more_seeds_at=(2,))
    assert [run[1:] for run in study.planned_runs] == [(1, 0), (2, 0), (2, 5), (2, 6), (4, 0)]
    assert study.sizes_of(5) == (2,)


def test_more_seeds_go_where_their_sizes_go_and_may_be_seeds_already():
    study = tiny_study(seeds=(0, 5), more_seeds=(5, 6), more_seeds_at=(99,))
    assert study.all_seeds == (0, 5)
    assert study.sizes_of(5) == study.images_per_class


def test_seeds_that_a_user_names_are_all_that_is_trained():
    plain = Study.load("lesion_crops")
    assert plain.more_seeds
    assert Study.load("lesion_crops", "seeds=[0]").all_seeds == (0,)
    more = Study.load("lesion_crops", "seeds=[0] more_seeds=[7] more_seeds_at=[190]")
    assert more.all_seeds == (0, 7)


def test_labels_that_are_numbers_are_read_as_text():
    settings = "cohort=manifest view=whole positive_label=1 without_lesion=0 sites=[2]"
    study = Study.load("quick", settings)
    assert (study.positive_label, study.without_lesion, study.sites) == ("1", "0", ("2",))


def test_each_draw_follows_the_seed_of_the_run_unless_it_is_held_fixed():
    assert set(tiny_study().drawn_by(7).values()) == {7}
    drawn = tiny_study(split_seed=0, subset_seed=1).drawn_by(7)
    assert drawn == {"split": 0, "subset": 1, "initialisation": 7}


def test_a_study_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        tiny_study().epochs = 5


def test_yaml_gives_the_study_back_without_the_path_of_the_cohort(tmp_path):
    study = tiny_study(tmp_path)
    fields = yaml.safe_load(study.to_yaml())
    assert Study.create(fields, "yaml") == study.model_copy(update={"cohort_root": None})


def test_what_a_seed_draws_is_what_is_not_held_fixed():
    assert tiny_study().varied == ("split", "subset", "initialisation")
    assert tiny_study(split_seed=0, subset_seed=3).varied == ("initialisation",)


def test_a_part_differs_from_its_study_in_what_it_is_for_alone():
    whole = Study.load("lesion_crops")
    for part in parts_of(whole):
        assert [*part.models] == [*whole.models]
        ours, theirs = (computing_settings(one, "resnet34") for one in (part, whole))
        assert ours.keys() == theirs.keys()
        changed = {key for key, value in ours.items() if value != theirs[key]}
        held = {"split_seed", "subset_seed", "initialisation_seed", "stop_at_plateau"}
        assert changed - {"name"} <= held
        assert set(part.images_per_class) <= set(whole.images_per_class)
    assert len(parts_of(whole)) == 3


FOUR = {
    "resnet34": {},
    "ubc_resnet34": {},
    "ubc_without_mask": {"network": "ubc_resnet34", "alpha": 1.0, "against": "ubc_resnet34"},
    "fast": {"network": "resnet34", "learning_rate": 1e-3, "label": "ResNet34, fast"},
}


def test_models_may_be_listed_or_have_settings_of_their_own():
    assert tiny_study(models=["resnet34"]).models == tiny_study(models={"resnet34": None}).models
    study = tiny_study(models=FOUR)
    assert [*study.models] == [*FOUR]
    assert study.models["fast"].network == "resnet34"
    assert study.labels == {
        "resnet34": "ResNet34",
        "ubc_resnet34": "UBC-ResNet34",
        "ubc_without_mask": "ubc without mask",
        "fast": "ResNet34, fast",
    }


def test_every_model_but_the_baseline_is_compared_with_it_or_with_what_it_names():
    assert tiny_study(models=FOUR).pairs == [
        ("ubc_resnet34", "resnet34"),
        ("ubc_without_mask", "ubc_resnet34"),
        ("fast", "resnet34"),
    ]
    others = tiny_study(models=FOUR, baseline="fast").pairs
    assert ("resnet34", "fast") in others
    assert len(others) == 3
    assert tiny_study(models=["ubc_resnet34"]).pairs == []


def test_a_models_own_settings_change_that_model_alone():
    study = tiny_study(models=FOUR)
    assert study.of("fast").learning_rate == 1e-3
    assert study.of("ubc_without_mask").alpha == 1.0
    assert study.of("resnet34").model_dump() == study.model_dump()


def test_a_models_own_settings_and_its_network_decide_what_its_runs_compute():
    study = tiny_study(models=FOUR)
    ours, theirs = (computing_settings(study, model) for model in ("fast", "resnet34"))
    assert ours == theirs | {"learning_rate": 1e-3}
    assert computing_settings(study, "ubc_without_mask")["network"] == "ubc_resnet34"


def test_yaml_gives_models_of_their_own_settings_back():
    study = tiny_study(models=FOUR, baseline="fast")
    assert Study.create(yaml.safe_load(study.to_yaml()), "yaml") == study


def test_naming_the_models_that_a_study_has_changes_nothing():
    assert Study.load("quick", "models=[resnet34,ubc_resnet34]").name == "quick"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"margin": 1}, "margin needs two_step"),
        ({"two_step": True, "image": "masked"}, "two_step makes the image itself"),
        ({"two_step": True, "images_per_class": (2, 8)}, "images_per_class of 3 or more"),
        ({"masks_from": "half", "images_per_class": (4,)}, "no slice left over from 4"),
        ({"mask_first": 3}, "leaves none of 3 epochs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_model(asked, message):
    fields = {"patients_per_class": 4, "slices_per_patient": 2, "images_per_class": (3,)}
    own = {key: value for key, value in asked.items() if key != "images_per_class"}
    models = {"resnet34": {}, "mine": {"network": "ubc_resnet34"} | own}
    fields |= (
        {"patients_per_class": 8} if "images_per_class" in asked and own.get("two_step") else {}
    )
    fields |= {key: asked[key] for key in asked.keys() - own.keys()}
    with pytest.raises(InputError, match=rf"{message}.*\(model mine\)"):
        tiny_study(models=models, **fields)
