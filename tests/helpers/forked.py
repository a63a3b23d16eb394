"""Programs in a forked copy of the tests' process, which has imported the libraries already."""

import multiprocessing
import os
import runpy
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace


def run_forked(folder, program, *arguments, cwd):
    """Run a script, or a module by its name, as the main program; returns its exit code and what it printed.

    Args:
        folder: Folder for the files of what is printed.
        program: Path of a script, or name of a module.
        arguments: The arguments of the command line.
        cwd: The working directory.
    """
    files = folder / "out", folder / "err"
    process = multiprocessing.get_context("fork").Process(target=_main, args=(files, program, arguments, cwd))
    process.start()
    process.join()
    out, err = (file.read_text() for file in files)
    return SimpleNamespace(returncode=process.exitcode, stdout=out, stderr=err)


def _main(files, program, arguments, cwd):
    with files[0].open("w") as sys.stdout, files[1].open("w") as sys.stderr:
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stderr.fileno(), 2)
        os.chdir(cwd)
        is_script = isinstance(program, Path)
        sys.argv = [str(program), *map(str, arguments)]
        sys.path.insert(0, str(program.parent) if is_script else str(cwd))
        warnings.resetwarnings()  # only in tests are they errors
        try:
            if is_script:
                runpy.run_path(str(program), run_name="__main__")
            else:
                runpy.run_module(program, run_name="__main__", alter_sys=True)
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None
