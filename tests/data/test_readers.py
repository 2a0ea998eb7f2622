import shutil

import pandas as pd
import pytest
from PIL import Image

from tests.conftest import brain, lesion, tiny_study, write_nifti, write_patient, write_tree
from ubc_lib.data.brats import read_brats
from ubc_lib.data.manifest import read_manifest
from ubc_lib.data.patients import patient_slices
from ubc_lib.data.readers import read_cohort
from ubc_lib.data.volumes import read_volume
from ubc_lib.system.errors import InputError


def flat_tree(root, grades: dict[str, str], columns=("BraTS_2020_subject_ID",)):
    """A BraTS 2020 tree: all patients in one folder, grades in name_mapping.csv."""
    rows = [{"Grade": grade, **dict.fromkeys(columns, name)} for name, grade in grades.items()]
    for name in grades:
        write_patient(root / name, suffix=".nii")
    pd.DataFrame(rows).to_csv(root / "name_mapping.csv", index=False)
    return root


class TestBratsTree:
    def test_grade_comes_from_the_folder_and_site_from_the_name(self, tree):
        table = read_brats(tree)
        assert list(table.columns) == ["patient", "label", "site", "image", "mask", "channel"]
        assert table["label"].value_counts().to_dict() == {"HGG": 4, "LGG": 4}
        assert table.set_index("patient").loc["BraTS19_SITE1_H1_1", "site"] == "SITE1"

    def test_a_doubled_folder_is_entered(self, tmp_path):
        write_tree(tmp_path / "MICCAI" / "MICCAI")
        assert len(read_brats(tmp_path / "MICCAI")) == 8

    def test_a_flat_2020_tree_gets_its_grades_from_the_name_mapping(self, tmp_path):
        names = {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "LGG"}
        table = read_brats(flat_tree(tmp_path, names))
        assert dict(zip(table["patient"], table["label"], strict=True)) == names

    def test_site_of_a_2020_patient_comes_from_an_older_name(self, tmp_path):
        names = {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "LGG"}
        flat_tree(tmp_path, names)
        pd.DataFrame(
            {
                "Grade": ["HGG", "LGG"],
                "BraTS_2019_subject_ID": ["BraTS19_CBICA_AAB_1", "NA"],
                "BraTS_2020_subject_ID": list(names),
            }
        ).to_csv(tmp_path / "name_mapping.csv", index=False)
        assert read_brats(tmp_path)["site"].fillna("").tolist() == ["CBICA", ""]

    def test_the_oddly_named_mask_of_patient_355_is_found(self, tmp_path):
        names = {"BraTS20_Training_355": "HGG", "BraTS20_Training_002": "LGG"}
        folder = flat_tree(tmp_path, names) / "BraTS20_Training_355"
        (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
        masks = read_brats(tmp_path).set_index("patient")["mask"]
        assert masks["BraTS20_Training_355"].name == "W39_1998.09.19_Segm.nii"

    @pytest.mark.parametrize(
        ("folder", "flair", "seg"),
        [
            ("BraTS-GLI-00002-000", "{}-t2f.nii.gz", "{}-seg.nii.gz"),
            ("BraTS2021_00003", "{}_flair.nii.gz", "{}_seg.nii.gz"),
            ("UCSF-PDGM-0004", "{}_FLAIR.nii.gz", "{}_tumor_segmentation.nii.gz"),
            ("UPENN-GBM-00001_11", "{}_FLAIR.nii.gz", "{}_segm.nii.gz"),
            ("BraTS19_S_1_1", "{}_flair.NII.GZ", "{}_Seg.NII"),
            ("BraTS20_7", "{}_flair.nii/07_brain_flair.nii", "{}_seg.nii/07_final_seg.nii"),
        ],
    )
    def test_names_of_other_years_and_sets_are_found(self, tree, folder, flair, seg):
        files = tree / "HGG" / folder
        flair, seg = flair.format(folder), seg.format(folder)
        for name in (flair, seg, f"{folder}_t1.nii", f"{folder}_brain_segmentation.nii"):
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            (files / name).touch()
        found = read_brats(tree).set_index("patient").loc[folder]
        assert (found["image"], found["mask"]) == (files / flair, files / seg)

    @pytest.mark.parametrize(
        ("one", "other", "what"),
        [
            ("P_flair.nii", "P_flair.nii.gz", "FLAIR"),
            ("P_seg.nii", "P_seg.nii.gz", "mask"),
            ("a_tumor_seg.nii", "b_tumor_seg.nii", "mask"),
            ("flair_old.nii", "flair_new.nii", "FLAIR"),
        ],
    )
    def test_two_files_that_could_be_it_are_not_chosen_between(self, tree, one, other, what):
        folder = tree / "HGG" / "P"
        write_patient(folder)
        (folder / f"P_{'flair' if what == 'FLAIR' else 'seg'}.nii.gz").unlink()
        for name in (one, other):
            write_nifti(folder / name, brain())
        with pytest.raises(
            InputError, match=f"Patient P has 2 files that could be the {what}: .*{one}"
        ):
            read_brats(tree)

    def test_a_mask_of_the_brain_stands_in_for_none(self, tree):
        write_patient(folder := tree / "HGG" / "P")
        (folder / "P_seg.nii.gz").rename(folder / "P_brain_segmentation.nii.gz")
        with pytest.raises(InputError, match="Patient P has no mask"):
            read_brats(tree)

    @pytest.mark.parametrize("other", ["P_brain_seg.nii", "P_flair_seg.nii", "tissue_seg.nii"])
    @pytest.mark.parametrize("mask", ["P_lesion_mask.nii", "tumor.nii.gz", "P_TumourSeg.nii"])
    def test_a_mask_of_a_tumour_goes_before_other_segmentations(self, tree, mask, other):
        folder = tree / "HGG" / "P"
        write_nifti(folder / "P_flair.nii", brain())
        for name in (mask, other):
            (folder / name).touch()
        assert read_brats(tree).set_index("patient").loc["P", "mask"] == folder / mask

    def test_mappings_that_disagree_are_refused(self, tmp_path):
        flat_tree(tmp_path, {"A": "HGG", "B": "LGG"})
        (tmp_path / "name_mapping_new.csv").write_text("Grade,BraTS_2020_subject_ID\nLGG,A\n")
        with pytest.raises(InputError, match=r"name_mapping_new\.csv gives patient A two grades"):
            read_brats(tmp_path)

    def test_a_folder_against_the_mapping_is_refused(self, tree):
        name = "BraTS19_SITE0_H0_1"
        (tree / "name_mapping.csv").write_text(f"Grade,BraTS_2019_subject_ID\nLGG,{name}\n")
        with pytest.raises(InputError, match=f"{name} lies in .*HGG, but .*csv says LGG"):
            read_brats(tree)

    def test_one_person_by_the_mapping_is_refused(self, tmp_path):
        flat_tree(tmp_path, {"A": "HGG", "B": "LGG"})
        write_patient(tmp_path / "C")
        text = "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\nHGG,C,A\nLGG,NA,B\n"
        (tmp_path / "name_mapping.csv").write_text(text)
        with pytest.raises(InputError, match="Patients A and C are one person"):
            read_brats(tmp_path)

    def test_equal_rows_of_two_mappings_are_two_people(self, tmp_path):
        flat_tree(tmp_path, {"A": "HGG"})
        write_patient(tmp_path / "B")
        (tmp_path / "name_mapping_new.csv").write_text("Grade,BraTS_2020_subject_ID\nLGG,B\n")
        assert read_brats(tmp_path)["label"].tolist() == ["HGG", "LGG"]

    def test_grades_may_be_written_small(self, tree):
        for grade in ("HGG", "LGG"):
            (tree / grade).rename(tree / grade.lower())
        assert set(read_brats(tree)["label"]) == {"HGG", "LGG"}

    def test_of_a_download_the_set_with_masks_is_read(self, tmp_path):
        names = {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "LGG"}
        flat_tree(tmp_path / "Training" / "MICCAI", names)
        validation = tmp_path / "Validation" / "MICCAI" / "BraTS20_Validation_001"
        write_nifti(validation / f"{validation.name}_flair.nii", brain())
        assert len(read_brats(tmp_path)) == 2

    def test_two_sets_with_masks_are_refused_with_both(self, tmp_path):
        for name in ("2018", "2019"):
            write_tree(tmp_path / "data" / name)
        with pytest.raises(InputError, match=r"data/2018 and data/2019.*COHORT_ROOT to one"):
            read_brats(tmp_path)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("name_mapping.csv", "Grade;BraTS_2020_subject_ID\nHGG;A\nLGG;B\n"),
            ("name_mapping.csv", "grade,brats_2020_subject_id\nhgg,A\nlgg ,B\n"),
            ("Name_Mapping_2020.csv", "Grade,BraTS_2020_subject_ID\nHGG,A\nLGG,B\n"),
            ("../name_mapping.csv", "Grade\tBraTS_2020_subject_ID\nHGG\tA\nLGG\tB\n"),
        ],
        ids=["semicolons", "small letters", "another name", "a folder above"],
    )
    def test_the_name_mapping_may_be_written_otherwise(self, tmp_path, name, text):
        for patient in ("A", "B"):
            write_patient(tmp_path / "set" / patient)
        (tmp_path / "set" / name).write_text(text)
        assert read_brats(tmp_path / "set")["label"].tolist() == ["HGG", "LGG"]

    def test_nii_and_nii_gz_may_be_mixed(self, tree):
        write_patient(tree / "HGG" / "BraTS19_SITE0_plain_1", suffix=".nii")
        assert len(read_brats(tree)) == 9

    def test_hidden_folders_are_no_patients(self, tree):
        (tree / "HGG" / "._BraTS19_SITE0_H0_1").mkdir()
        assert len(read_brats(tree)) == 8

    def test_a_root_that_does_not_exist_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"nowhere is not a folder.*COHORT_ROOT"):
            read_brats(tmp_path / "nowhere")

    @pytest.mark.parametrize("folders", [[], ["HGG", "LGG"], ["a", "b"]])
    def test_a_root_without_patients_is_refused(self, tmp_path, folders):
        for folder in folders:
            (tmp_path / folder).mkdir()
        with pytest.raises(InputError, match="holds no patients"):
            read_brats(tmp_path)

    @pytest.mark.parametrize(("kind", "word"), [("flair", "FLAIR"), ("seg", "mask")])
    def test_a_patient_without_a_file_is_named(self, tree, kind, word):
        patient = tree / "HGG" / "BraTS19_SITE0_H0_1"
        (patient / f"{patient.name}_{kind}.nii.gz").unlink()
        with pytest.raises(InputError, match=f"Patient {patient.name} has no {word}"):
            read_brats(tree)

    def test_the_same_patient_in_both_classes_is_refused(self, tree):
        name = "BraTS19_SITE0_H0_1"
        shutil.copytree(tree / "HGG" / name, tree / "LGG" / name)
        with pytest.raises(InputError, match=f"{name} is there twice"):
            read_brats(tree)

    def test_one_class_alone_is_refused(self, tree):
        shutil.rmtree(tree / "LGG")
        with pytest.raises(InputError, match="only HGG"):
            read_brats(tree)

    def test_a_patient_without_grade_is_named(self, tmp_path):
        flat_tree(tmp_path, {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "?"})
        with pytest.raises(InputError, match="BraTS20_Training_002 has no grade"):
            read_brats(tmp_path)

    def test_two_grades_for_one_patient_are_refused(self, tmp_path):
        flat_tree(tmp_path, {"BraTS20_Training_001": "HGG", "BraTS20_Training_002": "LGG"})
        with (tmp_path / "name_mapping.csv").open("a") as file:
            file.write("LGG,BraTS20_Training_001\n")
        with pytest.raises(InputError, match="BraTS20_Training_001 two grades"):
            read_brats(tmp_path)


@pytest.fixture
def manifest(tmp_path):
    """Two patients with two pictures each, and a function that writes the CSV."""
    rows = []
    for patient, label in (("p1", "cat"), ("p2", "dog")):
        for number in range(2):
            names = {}
            for kind, values in (("image", brain(number)), ("mask", lesion() * 100)):
                names[kind] = f"{patient}_{number}_{kind}.png"
                Image.fromarray(values[:, :, 3].astype("uint8")).save(tmp_path / names[kind])
            rows.append({"patient": patient, "label": label, **names})

    def write(change=lambda table: table):
        path = tmp_path / "manifest.csv"
        change(pd.DataFrame(rows)).to_csv(path, index=False)
        return path

    return write


class TestManifest:
    def test_paths_are_relative_to_the_manifest(self, manifest, tmp_path):
        table = read_manifest(manifest())
        assert table["image"].iloc[0] == tmp_path / "p1_0_image.png"
        assert table["label"].tolist() == ["cat", "cat", "dog", "dog"]
        assert table["site"].tolist() == [None] * 4

    def test_site_is_kept(self, manifest):
        table = read_manifest(manifest(lambda t: t.assign(site="north")))
        assert set(table["site"]) == {"north"}

    def test_numeric_names_and_labels_stay_texts(self, manifest):
        def numbers(table):
            return table.assign(
                patient=table["patient"].map({"p1": "007", "p2": "008"}),
                label=table["label"].map({"cat": "0", "dog": "1"}),
            )

        table = read_manifest(manifest(numbers))
        assert table["patient"].iloc[0] == "007"
        assert set(table["label"]) == {"0", "1"}

    @pytest.mark.parametrize(
        "write",
        [
            lambda t, path: t.to_csv(path, index=False, sep=";"),
            lambda t, path: t.to_csv(path, index=False, sep="\t"),
            lambda t, path: path.write_text("sep=;\n" + t.to_csv(index=False, sep=";")),
            lambda t, path: t.to_csv(path, index=False, encoding="utf-8-sig"),
            lambda t, path: t.to_csv(path, index=False, encoding="utf-16"),
            lambda t, path: path.write_bytes(t.to_csv(index=False).encode("utf-16-le")),
            lambda t, path: t.assign(note="a;b;c;d;e").to_csv(path, index=False),
            lambda t, path: t.to_csv(path, index=False, lineterminator="\r\n"),
            lambda t, path: t.rename(columns=str.upper).to_csv(path, index=False),
            lambda t, path: t.rename(columns=lambda name: f" {name} ").to_csv(path, index=False),
            lambda t, path: t.assign(image=".\\" + t["image"]).to_csv(path, index=False),
        ],
        ids=[
            "semicolons",
            "tabs",
            "a word to Excel",
            "mark",
            "utf-16",
            "utf-16 unmarked",
            "notes",
            "crlf",
            "capitals",
            "spaces",
            "backslashes",
        ],
    )
    def test_spreadsheets_write_otherwise(self, manifest, write):
        plain = read_manifest(path := manifest())
        write(pd.read_csv(path), path)
        pd.testing.assert_frame_equal(read_manifest(path).astype(str), plain.astype(str))

    def test_a_workbook_is_read(self, manifest):
        path = manifest()
        table = pd.read_csv(path).assign(label=[0, 0, 1, 1], site=["NA", None, "2", 3])
        table.to_excel(path.with_suffix(".xlsx"), index=False)
        read = read_manifest(path.with_suffix(".xlsx"))
        assert read["label"].tolist() == ["0", "0", "1", "1"]
        assert read["site"].tolist() == ["NA", None, "2", "3"]

    def test_cyrillic_of_windows_is_read(self, manifest):
        path = manifest(lambda t: t.assign(label=["опухоль", "опухоль", "норма", "норма"]))
        path.write_bytes(path.read_text().encode("cp1251"))
        assert set(read_manifest(path)["label"]) == {"опухоль", "норма"}

    def test_umlauts_of_windows_are_read(self, manifest):
        path = manifest(lambda t: t.assign(site="Köln"))
        path.write_bytes(path.read_text().encode("cp1252"))
        assert set(read_manifest(path)["site"]) == {"Köln"}

    def test_words_for_nothing_are_words(self, manifest):
        def renamed(table):
            return table.assign(
                patient=["NA", "NA", "NULL", "NULL"], label=["None", "None", "nan", "nan"]
            )

        read = read_manifest(manifest(renamed))
        assert set(read["patient"]) == {"NA", "NULL"}
        assert set(read["label"]) == {"None", "nan"}

    def test_rows_are_counted_as_a_spreadsheet_counts_them(self, manifest):
        path = manifest(lambda t: t.assign(image=[*t["image"][:3], "gone.png"]))
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], "", *lines[1:3], ",,,", *lines[3:]]))
        with pytest.raises(InputError, match=r"row 7: image .*gone\.png"):
            read_manifest(path)

    def test_a_quote_that_is_left_open_is_said(self, manifest):
        path = manifest(lambda t: t.assign(note="fine"))
        path.write_text(path.read_text().replace("fine", '"fine', 1))
        with pytest.raises(InputError, match="Is a quote open"):
            read_manifest(path)

    def test_a_folder_in_place_of_a_file_is_named(self, manifest, tmp_path):
        (tmp_path / "series").mkdir()
        with pytest.raises(InputError, match=r"row 2: image .*is a folder.*dcm2niix"):
            read_manifest(manifest(lambda t: t.assign(image=["series", *t["image"][1:]])))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.assign(Label=t["label"]), "two columns label"),
            (lambda t: t.assign(site="a", SITE="b"), "two columns site"),
            (lambda t: t.assign(mask=t["mask"][0]), r"p1_0_mask\.png for 2 patients"),
            (lambda t: t.drop(columns="mask"), r"lacks the column\(s\) mask"),
            (lambda t: t.assign(image=["gone.png", *t["image"][1:]]), "row 2: image .*gone.png"),
            (lambda t: t.assign(label=[None, *t["label"][1:]]), "row 2: label is empty"),
            (lambda t: t.assign(label=["bird", "bird", "cat", "dog"]), "'bird', 'cat', 'dog'"),
            (lambda t: t.assign(label="cat"), r"labels \['cat'\]; exactly two"),
            (lambda t: t.assign(label=["cat", "dog", "dog", "dog"]), "p1 has both labels"),
            (lambda t: pd.concat([t, t[:1]]), "row 6: the same patient and image"),
            (lambda t: t[:0], r"labels \[\]"),
            (lambda t: t.assign(split="val"), "row 2: split is 'val'; it must be train or test"),
            (lambda t: t.assign(split=["train", "test"] * 2), "p1 has both splits"),
            (lambda t: t.assign(pixel_mm="thin"), "row 2: pixel_mm is 'thin'"),
            (lambda t: t.assign(pixel_mm=-1), "row 2: pixel_mm is '-1'"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_row(self, manifest, change, message):
        with pytest.raises(InputError, match=message):
            read_manifest(manifest(change))

    def test_areas_are_in_square_millimetres_where_the_size_of_a_pixel_is_told(self, manifest):
        for told, area in ((None, 36), ("0.5", 9), ("0,5", 9)):
            path = manifest(lambda t, told=told: t if told is None else t.assign(pixel_mm=told))
            study = tiny_study(path, cohort="manifest", positive_label="dog", slices_per_patient=2)
            rows = read_cohort(study).query("patient == 'p1'")
            _, _, _, table = patient_slices(rows, study)
            assert table["lesion_area"].tolist() == [area, area]
            assert table["pixel_mm2"].isna().all() == (told is None)

    def test_a_pixel_that_its_file_measures_otherwise_is_refused(self, tmp_path):
        image = write_nifti(tmp_path / "p1.nii", brain(1))
        mask = write_nifti(tmp_path / "p1_mask.nii", lesion())
        assert read_volume(image, mask, "p1", pixel_mm=1.0).pixel_mm == (1, 1)
        with pytest.raises(InputError, match="states pixels of 1 x 1 mm, the manifest's pixel_mm"):
            read_volume(image, mask, "p1", pixel_mm=0.5)

    def test_a_split_is_used_where_asked_for_and_never_passed_over(self, manifest):
        path = manifest(lambda t: t.assign(split=["train", "train", "test", "test"]))
        given = tiny_study(path, cohort="manifest", positive_label="dog", split="given")
        assert read_cohort(given)["split"].tolist() == ["train", "train", "test", "test"]
        with pytest.raises(InputError, match=r"has a column split.*split=given, or take it out"):
            read_cohort(given.model_copy(update={"split": "halves"}))
        with pytest.raises(InputError, match="has no column split"):
            read_cohort(given.model_copy(update={"cohort_root": manifest()}))

    def test_a_manifest_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"gone\.csv cannot be read"):
            read_manifest(tmp_path / "gone.csv")

    def test_a_positive_label_that_nobody_has_is_refused(self, manifest):
        study = tiny_study(manifest(), cohort="manifest", positive_label="HGG")
        with pytest.raises(InputError, match=r"positive_label is 'HGG'.*'cat', 'dog'"):
            read_cohort(study)


@pytest.mark.parametrize("cohort", ["brats", "manifest"])
def test_a_real_cohort_needs_a_root(cohort):
    with pytest.raises(InputError, match="needs COHORT_ROOT"):
        read_cohort(tiny_study(cohort=cohort))


def test_a_file_in_place_of_the_tree_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        read_brats(write_nifti(tmp_path / "volume.nii.gz", brain()))
