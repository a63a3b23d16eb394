class EfficientNet:
    @classmethod
    def from_pretrained(cls, name):
        raise OSError("no network")

    @classmethod
    def from_name(cls, name):
        return cls()
