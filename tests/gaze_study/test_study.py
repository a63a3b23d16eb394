import numpy as np
import PIL.Image
import pytest
from helpers.studies import HALF, RISE, P, T, write_study, write_table

from augsal_transforms.gaze_study.study import read_edit_table, read_study


def test_a_shift_of_known_size_is_found(tmp_path):
    """A hit more of four, on half of the image, is (1/4) / (1/2) = 0.5."""
    found = read_study(write_study(tmp_path, RISE))
    assert [change.change for change in found.changes] == [0, 0.5, 0.5, 0.5, 0.5, 1]
    shift = found.kinds["contrast"].shift
    assert (shift.images, shift.undefined) == (3, 0)
    assert (shift.t, shift.p, shift.effect) == pytest.approx((T, P, 2))
    assert (found.fixations, found.outside, found.unseen) == (36, 0, ())


def test_no_shift_is_not(tmp_path):
    """Changes 0.5, −0.5 and 0 at both α."""
    found = read_study(write_study(tmp_path, {"a": (2, 3, 3), "b": (2, 1, 1), "c": (2, 2, 2)}))
    shift = found.kinds["contrast"].shift
    assert (shift.t, shift.p) == (0, 1)


def test_images_that_nobody_looked_at_stay_and_are_counted(tmp_path):
    found = read_study(write_study(tmp_path, {**RISE, "d": (None, 2, 2), "e": (2, None, 3)}))
    assert set(found.unseen) == {"d", "e-1.2"}
    assert len(found.changes) == 10
    kind = found.kinds["contrast"]
    assert (kind.shift.images, kind.shift.undefined) == (4, 1)
    assert [at.images for at in kind.shift.by_alpha] == [3, 4]


def test_fixations_outside_the_image_are_left_out_and_counted(tmp_path):
    folder = write_study(tmp_path, RISE)
    with (folder / "fixations.csv").open("a") as file:
        file.write("a,-0.1,0\na,20,1\na,3,\npractice,1,1\n")
    found = read_study(folder)
    assert (found.fixations, found.outside) == (36, 3)
    assert found.changes[0].change == 0


def test_fixation_maps_do_as_well_as_a_table(tmp_path):
    folder = write_study(tmp_path, {"a": (2, 3), "b": (2, 3)}, alphas=(1.5,))
    (folder / "fixations.csv").unlink()
    (folder / "fixations").mkdir()
    for name, fixated in (("a", [0, 1]), ("a-1.5", [0, 2]), ("b", [1, 3]), ("b-1.5", [0, 1, 2])):
        fixation_map = np.zeros((20, 20), np.uint8)
        for pixel in fixated:
            fixation_map[divmod(pixel, 2)[0] * 10, pixel % 2 * 10] = 255
        PIL.Image.fromarray(fixation_map).save(folder / "fixations" / f"{name}.png")
    # Corners of quarters; left are those of 0 and 2: shares 1 → 2, and 0 → 4/3.
    assert [change.change for change in read_study(folder).changes] == pytest.approx([1, 4 / 3])


def test_an_edit_s_own_mask_goes_before_its_original_s(tmp_path):
    folder = write_study(tmp_path, RISE)
    PIL.Image.fromarray(255 - HALF).save(folder / "masks" / "c-1.8.png")
    assert read_study(folder).changes[-1].change == -1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "edits.csv").unlink(), "edits.csv is missing: `augsal stimuli` writes it"),
        (lambda f: write_table(f / "edits.csv", ("edit", "original"), []), "it lacks alpha, kind"),
        (
            lambda f: edits(f, ("a-2", "a", "contrast", "strong")),
            "alpha must be a number.* got 'strong'",
        ),
        (
            lambda f: edits(f, ("a-2", "a", "contrast", "nan")),
            "line 2: alpha must be a number.* got 'nan'",
        ),
        (lambda f: edits(f, ("a-2", "a", "contrast", "1,5")), "line 2: alpha must be a number.* got '1,5'"),
        (lambda f: edits(f, ("a-2", "a", "", 2)), "line 2: kind is empty"),
        (lambda f: edits(f, ("a-2", "a")), "line 2: kind is empty"),
        (lambda f: edits(f, ("", "a", "contrast", 2)), "line 2: edit is empty"),
        (lambda f: edits(f, ("a-2", "a", "all kinds", 2)), "line 2: kind must not be 'all kinds'"),
        (
            lambda f: edits(f, ("../masks/a", "a", "contrast", 2)),
            "line 2: edit must be the name",
        ),
        (lambda f: edits(f, ("a-2", "C:\\a", "contrast", 2)), "line 2: original must be the name"),
        (lambda f: (f / "edits.csv").write_bytes(b"edit;original;kind;alpha"), "separated by commas"),
        (lambda f: (f / "edits.csv").write_bytes("caf\xe9,b,c,d".encode("cp1252")), "edits.csv must be UTF-8"),
        (lambda f: edits(f), "edits.csv names no edit"),
        (
            lambda f: write_table(f / "fixations.csv", ("image", "x", "y"), [("z", 1, 1)]),
            "no fixation of an image that",
        ),
        (lambda f: write_table(f / "fixations.csv", ("x", "y", "image"), [(1, 1)]), "no fixation of an image that"),
        (lambda f: edits(f, ("z-2", "z", "contrast", 2)), "line 2: there is neither"),
        (lambda f: edits(f, ("a-2", "a", "color", 2), ("a-2", "a", "color", 3)), "'a-2' more than once"),
        (lambda f: edits(f, ("a", "a", "color", 2)), "'a' more than once"),
        (lambda f: (f / "fixations.csv").unlink(), "has no fixations of the images that edits.csv names"),
        (
            lambda f: PIL.Image.new("L", (3, 2), 255).save(f / "masks" / "a-1.8.png"),
            r"must have \(20, 20\) \(H, W\) as its original's",
        ),
    ],
)
def test_what_is_wrong_with_a_study_is_said(tmp_path, spoil, words):
    folder = write_study(tmp_path, RISE)
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read_study(folder)


def edits(folder, *rows):
    write_table(folder / "edits.csv", ("edit", "original", "kind", "alpha"), rows)


def test_fixations_of_another_frame_are_refused(tmp_path):
    folder = write_study(tmp_path, RISE)
    (folder / "fixations.csv").unlink()
    (folder / "fixations").mkdir()
    other_size = np.zeros((40, 40), np.uint8)
    other_size[3, 5] = 255
    PIL.Image.fromarray(other_size).save(folder / "fixations" / "a.png")
    with pytest.raises(
        ValueError, match=r"fixations of 'a' were recorded in a frame of \(40, 40\) \(H, W\), its image has \(20, 20\)"
    ):
        read_study(folder)


def test_tables_of_spreadsheets_are_read(tmp_path):
    folder = write_study(tmp_path, RISE)
    table = folder / "edits.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # the byte-order mark that Excel writes
    assert len(read_edit_table(folder)) == 6


def test_coordinates_that_are_shares_of_the_image_are_refused(tmp_path):
    """All of them would fall on the first pixel: no gaze would move, d = 0 and p = 1."""
    folder = write_study(tmp_path, RISE)
    names = [f"{name}{edit}" for name in RISE for edit in ("", "-1.2", "-1.8")]
    shares = [(name, (n % 7) / 7, (n % 5) / 5) for n, name in enumerate(names * 4)]
    write_table(folder / "fixations.csv", ("image", "x", "y"), shares)
    with pytest.raises(ValueError, match=r"fixations\.csv: x must be in pixels.*shares of the frame"):
        read_study(folder)


def test_a_mask_of_nothing_leaves_its_edit_undefined(tmp_path):
    folder = write_study(tmp_path, RISE)
    PIL.Image.new("L", (20, 20), 0).save(folder / "masks" / "b.png")
    shift = read_study(folder).kinds["contrast"].shift
    assert (shift.images, shift.undefined) == (2, 1)
    # Means of a, 0 and 0.5, and of c, 0.5 and 1.
    assert shift.mean == pytest.approx(0.5)


def test_names_that_a_spreadsheet_would_run_are_read_as_they_were(tmp_path):
    names = ("=1+1", "@a", "+b", "-c")
    folder = write_study(tmp_path, {name: (2, 3) if name < "=2" else (2, 2) for name in names}, alphas=(1.5,))
    plain = read_study(folder)
    edits(folder, *((f"'{name}-1.5", f"'{name}", "contrast", 1.5) for name in names))
    assert read_study(folder).changes == plain.changes
    assert {change.original: change.change for change in plain.changes} == {"=1+1": 0.5, "@a": 0, "+b": 0.5, "-c": 0.5}
