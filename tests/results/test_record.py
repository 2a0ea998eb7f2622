"""A record of any format is read as one of the present, and the archive keeps them as they are."""

from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.records import made_record
from ubc_lib.results.record import (
    FORMAT,
    check_record,
    computing_settings,
    read_record,
    write_record,
)
from ubc_lib.system.errors import InputError

FORMATS = Path(__file__).parent / "formats"


def test_there_is_a_record_of_every_format():
    assert {path.stem for path in FORMATS.glob("*.json")} == {
        f"format_{number}" for number in range(1, FORMAT + 1)
    }


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_a_record_of_any_format_is_read_as_one_of_the_present(number):
    record = read_record(FORMATS / f"format_{number}.json")
    assert record["format"] == number
    assert record["settings"]["network"] == "resnet34"
    assert record["result"]["diverged_epoch"] is None
    assert record["predictions"]["probability"] == [0.9, 0.8, 0.3, 0.6]


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_a_record_of_any_format_belongs_to_the_study_it_was_made_for(number):
    path = FORMATS / f"format_{number}.json"
    check_record(read_record(path), tiny_study(), "f" * 64, path)
    with pytest.raises(InputError, match=r"learning_rate: 2e-05 -> 0\.001"):
        check_record(read_record(path), tiny_study(learning_rate=1e-3), None, path)


def test_a_record_of_a_later_format_is_refused(tmp_path):
    write_record(tmp_path / "record.json", made_record(tiny_study()) | {"format": FORMAT + 1})
    with pytest.raises(InputError, match="not one of this software's"):
        read_record(tmp_path / "record.json")


def test_a_record_of_another_network_under_the_same_name_is_refused(tmp_path):
    study = tiny_study(models={"resnet34": {"network": "ubc_resnet34"}})
    record = made_record(tiny_study())
    with pytest.raises(InputError, match="network: resnet34 -> ubc_resnet34"):
        check_record(record, study, None, tmp_path)


def test_where_and_how_fast_a_run_is_computed_need_not_agree():
    one, other = tiny_study(), tiny_study(device="auto", layers="torch", threads=2)
    assert computing_settings(one, "resnet34") == computing_settings(other, "resnet34")


def another(value):
    """A value of the same kind that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [*value, "another"]
    return {str: "another", type(None): 12345}.get(type(value)) or value + 1


@pytest.mark.parametrize("setting", sorted(computing_settings(tiny_study(), "resnet34")))
def test_a_record_of_any_other_setting_is_refused(setting, tmp_path):
    record = made_record(tiny_study())
    record["settings"][setting] = another(record["settings"][setting])
    with pytest.raises(InputError, match=rf"\b{setting}: "):
        check_record(record, tiny_study(), None, tmp_path)
