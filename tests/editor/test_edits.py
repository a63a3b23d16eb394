import colorsys
import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from helpers.pictures import blob, picture

from augsal_transforms import Brightness, Color, Contrast, EditConfig
from augsal_transforms.editor.edits import COLORS, KINDS, Edit
from augsal_transforms.editor.kinds import Alpha
from augsal_transforms.editor.latent_edits import scale_contrast, shift_brightness, shift_color, toward_color


def test_contrast_by_hand():
    # Eq. 1 with M = 1/2, α = 3, Z = 2, μ = 1: M (3 (2 − 1) + 1) + (1 − M) 2 = 1/2 · 4 + 1/2 · 2 = 3.
    latent = torch.full((1, 4, 1, 1), 2.0).double()
    region = torch.full((1, 1, 1, 1), 0.5).double()
    edited = scale_contrast(latent, region, 3.0, torch.ones(1, 4, 1, 1).double())
    assert torch.equal(edited, torch.full_like(latent, 3.0))


def test_alpha_of_one_leaves_contrast_unchanged():
    latent, region = torch.randn(2, 4, 3, 3).double(), torch.rand(2, 1, 3, 3).double()
    assert torch.allclose(scale_contrast(latent, region, 1.0, torch.randn(2, 4, 1, 1).double()), latent, atol=1e-12)


def test_brightness_by_hand():
    # Eq. 2 with M = 1/2, α = 0.1 and γ = (1, 2, 3, 4): Z + 1/2 · 2 · 0.1 · γ = Z + 0.1 γ.
    latent, gamma = torch.zeros(1, 4, 1, 1).double(), torch.tensor([1.0, 2, 3, 4]).double()
    edited = shift_brightness(latent, torch.full((1, 1, 1, 1), 0.5).double(), 0.1, gamma)
    assert torch.allclose(edited.flatten(), 0.1 * gamma)


def test_color_by_hand():
    # M = 1/2, shift (0.5, 0, −0.5), A⁺ with rows e0, e1, e2: Z + 1/2 · 2 · (0.5, 0, −0.5, 0).
    pseudo_inverse = torch.eye(3, 4).double()
    edited = shift_color(
        torch.zeros(1, 4, 1, 1).double(),
        torch.full((1, 1, 1, 1), 0.5).double(),
        torch.tensor([[0.5, 0, -0.5]]).double(),
        pseudo_inverse,
    )
    assert edited.flatten().tolist() == [0.5, 0.0, -0.5, 0.0]


@pytest.mark.parametrize("target", COLORS.values())
def test_the_way_to_a_color_ends_there_and_starts_where_it_is(target):
    colors, target = (
        torch.rand(50, 3, generator=torch.Generator().manual_seed(0)).double(),
        torch.tensor(target).double(),
    )
    assert torch.allclose(toward_color(colors, target, 0.0), colors, atol=1e-9)
    assert torch.allclose(toward_color(colors, target, 1.0), target.expand(50, 3), atol=1e-9)


def test_halfway_from_red_to_blue_is_no_greyer_than_either():
    # Chroma of (0.8, 0.2, 0.2) is 0.6 at hue 0, of (0.2, 0.2, 0.8) 0.6 at hue 240°, the short way −120°: halfway is
    # hue −60°, magenta, where 0.6 is r = b, r − g = 0.6. The straight line is at (0.5, 0.2, 0.5), chroma 0.3.
    red, blue = torch.tensor([[0.8, 0.2, 0.2]]).double(), torch.tensor([0.2, 0.2, 0.8]).double()
    halfway = toward_color(red, blue, 0.5)[0]
    assert halfway[0].item() == pytest.approx(halfway[2].item())
    assert (halfway[0] - halfway[1]).item() == pytest.approx(0.6)


def test_grey_takes_the_targets_hue_at_once():
    grey, target = torch.full((1, 3), 0.4).double(), torch.tensor(COLORS["orange"]).double()
    tinted = toward_color(grey, target, 0.2)[0]
    assert colorsys.rgb_to_hsv(*tinted.tolist())[0] == pytest.approx(colorsys.rgb_to_hsv(*target.tolist())[0])


@pytest.mark.parametrize("function", [scale_contrast, shift_brightness])
def test_where_the_region_is_zero_the_latent_stays_to_the_bit(function):
    latent, region = torch.randn(1, 4, 4, 4), torch.zeros(1, 1, 4, 4)
    region[..., :2] = 1
    last = torch.randn(1, 4, 1, 1) if function is scale_contrast else torch.randn(4)
    edited = function(latent, region, 1.7, last)
    assert torch.equal(edited[..., 2:], latent[..., 2:])
    assert not torch.equal(edited[..., :2], latent[..., :2])


def test_ranges_are_drawn_in_thousandths_inside_the_range():
    generator = torch.Generator().manual_seed(0)
    drawn = [Contrast((1.2, 1.8)).draw(generator).alpha for _ in range(200)]
    assert min(drawn) >= 1.2
    assert max(drawn) <= 1.8
    assert max(drawn) - min(drawn) > 0.5
    assert all(alpha == round(alpha, 3) for alpha in drawn)


def test_numbers_are_not_drawn():
    edit = Brightness(0.2)
    assert edit.draw(torch.Generator()) is edit
    assert Color("red", 0.5).draw(torch.Generator()) == Color("red", 0.5)


def test_a_color_is_drawn_from_its_names():
    generator = torch.Generator().manual_seed(0)
    names = {Color(("red", "blue"), alpha=0.5).draw(generator).color_name for _ in range(20)}
    assert names == {"red", "blue"}
    assert {Color().draw(generator).color_name for _ in range(200)} == set(COLORS)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Contrast(-0.1), r"`alpha` of Contrast must lie in \[0.0, 5.0\], got -0.1"),
        (lambda: Contrast((1.8, 1.2)), r"\(low, high\) pair"),
        (lambda: Brightness(float("nan")), "`alpha` of Brightness"),
        (lambda: Brightness(20), "`alpha` of Brightness"),
        (lambda: Color("mauve"), "`color` must be among red, "),
        (lambda: Color(()), "`color` must be among"),
        (lambda: Contrast().alpha_value, "is a range"),
        (lambda: Color().color_name, "several colours"),
    ],
)
def test_what_is_not_an_edit_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("edit", [Contrast(1.0), Brightness(0.0), Color("red", 0.0)])
def test_identity_strengths_are_null_edits(edit):
    assert edit.is_null
    assert edit.magnitude == 0


def test_edits_up_by_default_and_down_for_whoever_asks():
    assert min(Contrast().alpha) > 1
    assert min(Brightness().alpha) > 0
    assert Contrast(0.5).magnitude == pytest.approx(0.625)
    assert Brightness(-0.2).alpha_value == -0.2


def test_edits_travel_to_workers():
    for edit in (Contrast(), Brightness(0.1), Color("red"), Color()):
        assert pickle.loads(pickle.dumps(edit)) == edit


@pytest.fixture
def own_kinds():
    """The table of kinds, put back after a test that adds to it."""
    before = dict(KINDS)
    yield KINDS
    KINDS.clear()
    KINDS.update(before)


def define(**attributes):
    """A kind of edit that adds α to the latent, with these class attributes over its own."""

    def edit_latent(self, latent, latent_mask, properties, calibration, config):
        return latent + latent_mask * self.alpha_value

    body = {"kind": "lift", "identity": 0.0, "alpha_range": (-2.0, 2.0), "alpha_span": 0.5, "alpha": (0.5, 1.0)}
    annotations = {"__annotations__": {"alpha": Alpha}, "edit_latent": edit_latent}
    made = {name: value for name, value in {**body, **annotations, **attributes}.items() if value is not None}
    return dataclass(frozen=True)(type("Lift", (Edit,), made))


def test_a_new_kind_is_one_class(own_kinds, editor):
    lift = define()
    assert own_kinds["lift"] is lift
    image = picture()
    (result,) = editor.edit([image], [blob()], ["a red dog"], [lift(0.25)])
    assert (result.kind, result.color, result.alpha, result.word in ("red", "dog")) == ("lift", "", 0.25, True)
    outside = (result.edit_mask == 0).expand_as(image)
    assert torch.equal(result.image[outside], image[outside])
    assert not torch.equal(result.image, image)
    assert lift.from_text("0.5:0.75") == lift((0.5, 0.75))
    assert lift(0.25).injection_weight(EditConfig(injection=0.5)) == 0.25  # half of the span, times 0.5
    define()  # run again, as a notebook's cell is: the new definition counts
    assert own_kinds["lift"] is not lift


def test_a_kind_that_inserts_a_word_inserts_it(own_kinds, editor):
    plain = define()
    worded = define(kind="worded", inserted_word=property(lambda self: "blue"))
    free = replace(editor, config=EditConfig(injection=1.0))
    given = [picture()], [blob()], ["a red dog"]
    (one,), (other,) = free.edit(*given, [plain(0.5)]), free.edit(*given, [worded(0.5)])
    assert not torch.equal(one.image, other.image)
    (one,), (other,) = (free.edit([picture()], [blob()], None, [edit(0.5)]) for edit in (plain, worded))
    assert torch.equal(one.image, other.image)  # without a caption there is no place for a word


@pytest.mark.parametrize(
    ("attributes", "error", "words"),
    [
        ({"kind": None}, TypeError, "`Lift` must set `kind`"),
        ({"alpha_span": None}, TypeError, "`Lift` must set `alpha_span`"),
        ({"alpha": None}, TypeError, "`Lift` must set `alpha`"),
        ({"kind": "contrast"}, ValueError, "must be a new name, got 'contrast', which is Contrast's"),
        ({"kind": "none"}, ValueError, "and not 'none'"),
        ({"kind": "Lift-Up"}, ValueError, "lower-case letters"),
        ({"identity": 3.0}, ValueError, "`identity` of Lift must lie in `alpha_range`"),
        ({"alpha_span": 0.0}, ValueError, "`alpha_span` must be above 0"),
    ],
)
def test_a_kind_that_cannot_be_is_refused_when_it_is_defined(own_kinds, attributes, error, words):
    with pytest.raises(error, match=words):
        define(**attributes)
    assert set(own_kinds) == {"contrast", "brightness", "color"}


def test_a_kind_without_an_edit_of_the_latent_is_refused():
    with pytest.raises(TypeError, match="edit_latent"):
        Edit(0.5)


def test_a_kinds_child_must_be_a_kind_too(own_kinds):
    """It would be stored as its parent's kind, whatever it does to the latent."""
    with pytest.raises(TypeError, match="`Sharper` must set `kind`"):
        type("Sharper", (Contrast,), {})


@pytest.mark.parametrize(
    ("kind", "text", "edit"),
    [
        ("contrast", "1.5", Contrast(1.5)),
        ("contrast", "1.2:1.8", Contrast((1.2, 1.8))),
        ("brightness", "", Brightness()),
        ("brightness", "-0.2", Brightness(-0.2)),
        ("color", "red", Color("red")),
        ("color", "0.5", Color(alpha=0.5)),
        ("color", "red,blue:0.3:0.8", Color(("red", "blue"), (0.3, 0.8))),
        ("color", " red, blue : 0.25", Color(("red", "blue"), 0.25)),
        ("color", "", Color()),
    ],
)
def test_edits_from_text(kind, text, edit):
    assert KINDS[kind].from_text(text) == edit


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("contrast", "strong", r"`alpha` of Contrast must be a number or low:high, as in 0.5 or 0.3:0.8, got 'strong'"),
        ("contrast", "1:2:3", "low:high"),
        ("contrast", "9", r"must lie in \[0.0, 5.0\], got 9.0"),
        ("brightness", "nan", "`alpha` of Brightness must lie in"),
        ("brightness", "0.2:0.1", "pair"),
        ("color", "mauve:0.5", "`color` must be among red, .*mauve"),
        ("color", "red:", "low:high"),
        ("color", "red:0.3:high", "low:high"),
        ("color", "red,,blue", "`color` must be among"),
    ],
)
def test_text_that_names_no_edit_is_refused(kind, text, words):
    with pytest.raises(ValueError, match=words):
        KINDS[kind].from_text(text)


@pytest.mark.parametrize("alpha", ["1.5", True, None, torch.tensor(1.5), (1.2, "1.8"), {"alpha": 1.5}])
def test_an_alpha_of_another_type_is_refused(alpha):
    with pytest.raises(TypeError, match="`alpha` of Contrast must be a number or a"):
        Contrast(alpha)
    with pytest.raises(TypeError, match="`color` must be a name or a tuple of names"):
        Color(alpha if not isinstance(alpha, (str, tuple)) else 5)


def test_a_drawn_alpha_stays_in_a_narrow_range():
    # Thousandths of [0.0502, 0.0504] would be 0.05, which is outside.
    assert Brightness((0.0502, 0.0504)).draw(torch.Generator().manual_seed(0)).alpha == 0.0502


def test_a_kind_that_writes_in_place_harms_no_other_edit(own_kinds, editor):
    def edit_latent(self, latent, latent_mask, properties, calibration, config):
        properties.zero_()
        latent.add_(latent_mask)
        latent_mask.zero_()
        return latent

    careless = define(edit_latent=edit_latent)
    analyses = editor.analyse([picture()], [blob()], ["a red dog"], seed=0)
    _, before = editor.apply(analyses, [[Brightness(0.1), Contrast(1.5)]])
    _, after = editor.apply(analyses, [[careless(0.5), Contrast(1.5)]])
    assert torch.equal(after.image, before.image)


@pytest.mark.parametrize(
    ("returned", "error", "words"),
    [
        (lambda latent: None, TypeError, "`edit_latent` of Lift must return the edited latent, a tensor, got NoneType"),
        (lambda latent: latent[:, :3], ValueError, r"`edit_latent` of Lift must return a tensor shaped \(1, 4, "),
    ],
)
def test_a_kind_that_returns_no_latent_is_named(own_kinds, editor, returned, error, words):
    kind = define(edit_latent=lambda self, latent, *others: returned(latent))
    with pytest.raises(error, match=words):
        editor.edit([picture()], [blob()], None, [kind(0.5)])


def test_a_kind_that_is_no_dataclass_is_told_to_be_one(own_kinds):
    class Forgotten(Contrast):
        kind = "forgotten"

    for make in (Forgotten, lambda: Forgotten.from_text("")):
        with pytest.raises(TypeError, match=r"`Forgotten` must be a dataclass: write `@dataclass\(frozen=True\)`"):
            make()


def test_a_further_field_that_no_record_is_named_by_is_refused():
    @dataclass(frozen=True)
    class Sharpen(Edit):
        kind = "sharpen"
        identity = 0.0
        alpha_range = (0.0, 1.0)
        alpha_span = 1.0
        alpha: float = 0.5
        radius: int = 3

        def edit_latent(self, latent, latent_mask, properties, calibration, config):
            return latent

    with pytest.raises(TypeError, match=r"further field\(s\) radius.*would share one"):
        Sharpen(radius=9)
