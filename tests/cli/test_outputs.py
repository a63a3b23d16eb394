import os

import PIL.Image
import pytest

from augsal_transforms.cli.outputs import check_files_in, check_folder, check_output, check_outputs_apart, write_picture


def test_a_new_file_in_a_folder_that_can_be_made_is_accepted_and_nothing_is_written(tmp_path):
    check_output(tmp_path / "a" / "b" / "scores.json", "--out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("photo.png", {}, "photo.png exists already. Name another file, or give --overwrite"),
        ("map.png", {"overwrite": True}, "map.png is an input of this command"),
        ("linked.png", {"overwrite": True}, "linked.png is a link, which is not followed"),
        ("dangling.png", {"overwrite": True}, "dangling.png is a link, which is not followed"),
        ("folder.png", {"overwrite": True}, "must be a file, and"),
        ("pipe.png", {"overwrite": True}, "pipe.png is not a regular file"),
        ("photo.png/x.png", {}, "is a file, so that"),
        ("new.doc", {"endings": (".png", ".jpg")}, "--out must end in .png, .jpg, got"),
        ("new", {"endings": (".png",)}, "--out must end in .png, got"),
    ],
)
def test_outputs_onto_something_else_are_refused(tmp_path, name, options, words):
    for file in ("photo.png", "map.png"):
        (tmp_path / file).write_bytes(b"kept")
    (tmp_path / "linked.png").symlink_to(tmp_path / "photo.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises((ValueError, FileExistsError)) as refused:
        check_output(tmp_path / name, "--out", inputs=[tmp_path / "map.png"], **options)
    assert words in str(refused.value)


def test_an_input_under_another_name_is_refused_too(tmp_path):
    (tmp_path / "map.png").write_bytes(b"kept")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "map.png")
    with pytest.raises(ValueError, match=r"hard\.png is an input"):
        check_output(tmp_path / "hard.png", "--out", inputs=[tmp_path / "map.png"], overwrite=True)


def test_a_file_that_is_no_input_is_replaced_when_asked_for(tmp_path):
    (tmp_path / "old.png").write_bytes(b"old")
    check_output(tmp_path / "old.png", "--out", inputs=[tmp_path / "absent.png"], overwrite=True)
    write_picture(tmp_path / "old.png", PIL.Image.new("L", (2, 3), 7))
    with PIL.Image.open(tmp_path / "old.png") as picture:
        assert picture.size == (2, 3)


def test_links_inside_an_output_folder_are_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Action").symlink_to(tmp_path / "elsewhere")
    check_files_in(tmp_path / "out", ["001.png", "Social/001.png"], "--out")
    with pytest.raises(ValueError, match="Action is a link, which is not followed"):
        check_files_in(tmp_path / "out", ["001.png", "Action/001.png"], "--out", overwrite=True)


def test_one_existing_file_of_many_is_found_before_any_is_written(tmp_path):
    (tmp_path / "2.png").write_bytes(b"kept")
    with pytest.raises(FileExistsError, match=r"2\.png exists already"):
        check_files_in(tmp_path, ["1.png", "2.png"], "--out")
    check_files_in(tmp_path, ["1.png", "2.png"], "--out", overwrite=True)
    with pytest.raises(ValueError, match=r"2\.png is an input"):
        check_files_in(tmp_path, ["2.png"], "--out", inputs=[tmp_path / "2.png"], overwrite=True)


def test_two_outputs_in_one_file_are_refused(tmp_path):
    check_outputs_apart(out=tmp_path / "a.png", mask_out=None)
    with pytest.raises(ValueError, match="--out and --mask-out name one file"):
        check_outputs_apart(out=tmp_path / "a.png", mask_out=tmp_path / "b" / ".." / "a.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_folder(tmp_path / "new", "--out")
