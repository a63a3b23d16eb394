"""A predictor for which gaze goes where the image is bright, so that a test knows which edits raise it."""


class Brightest:
    """A predictor that counts the images of its calls."""

    fingerprint = "the mean over RGB"

    def __init__(self):
        self.calls = []

    def predict(self, images, *, seed=0):
        self.calls.append(len(images))
        return [image.float().mean(0, keepdim=True) / 255 for image in images]
