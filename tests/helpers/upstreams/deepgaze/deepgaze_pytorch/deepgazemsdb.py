import clip  # noqa: F401 - undeclared, and needed to import the package


class DeepGazeMSDB:
    pass
