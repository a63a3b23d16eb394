"""A stand-in for UNISAL's command: ``run.py train --name=value …``."""

import ast
import sys

import unisal


def value(text):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def train(eval_sources=("DHF1K", "SALICON"), **options):
    trainer = unisal.train.Trainer(**options)
    trainer.fit()
    for source in eval_sources:
        trainer.score_model(source)


if __name__ == "__main__":
    command, *options = sys.argv[1:]
    {"train": train}[command](
        **{name: value(text) for name, text in (option.removeprefix("--").split("=", 1) for option in options)}
    )
