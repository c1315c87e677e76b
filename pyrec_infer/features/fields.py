"""What a raw row holds: fields, their sides, what is done to them, and which inputs of a model they feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pyrec_infer.errors import SchemaError
from pyrec_infer.features.transforms.counts import Counts
from pyrec_infer.features.transforms.ids import finite, is_of, whole
from pyrec_infer.features.transforms.transform import NAN, Kind, Transform, in_order

Side: TypeAlias = Literal["request", "item", "candidate"]
Missing: TypeAlias = Literal["error", "default", "zero", "oov", "id"]
Target: TypeAlias = "str | tuple[str, int]"

SIDES: tuple[Side, ...] = ("request", "item", "candidate")
RULES: tuple[Missing, ...] = ("error", "default", "zero", "oov", "id")
KINDS: tuple[Kind, ...] = ("string", "integer", "number")


def as_targets(value: Any) -> tuple[Target, ...]:
    """Inputs, or columns of inputs, from one of them or several."""
    if _is_target(value):
        return (value if isinstance(value, str) else (value[0], value[1]),)
    several = isinstance(value, (list, tuple)) and all(map(_is_target, value))
    if not several:
        raise SchemaError("to: expected inputs, or pairs of an input and a column")
    return tuple(as_targets(item)[0] for item in value)


def _is_target(value: Any) -> bool:
    if isinstance(value, str):
        return True
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str)
    return pair and isinstance(value[1], int) and not isinstance(value[1], bool)


def _kinds(first: Kind, transforms: Sequence[Transform]) -> list[Kind]:
    found = [first]
    for transform in transforms:
        found.append(transform.gives(found[-1]))
    return found


def chain_mistakes(first: Kind, transforms: Sequence[Transform]) -> Iterator[str]:
    """All that is wrong with transforms of a value, one after another."""
    for kind, transform in zip(_kinds(first, transforms), transforms, strict=False):
        if kind not in transform.takes:
            yield f"{transform.name}: takes {' or '.join(sorted(transform.takes))}, got {kind}"
        yield from (f"{transform.name}: {text}" for text in transform.mistakes())
    for transform in transforms[:-1]:
        if transform.width:
            yield f"{transform.name}: expected as the last transform"


def _largest(before: int | None, transforms: Sequence[Transform]) -> int | None:
    for transform in transforms:
        before = transform.largest(before)
    return before


@dataclass(frozen=True)
class Field:
    """One value in each row: a category, an id or a number.

    Parameters
    ----------
    name : str
        In raw rows.
    side : str
        Whose it is: ``"request"``, ``"item"``, or ``"candidate"`` for what comes with a request's candidates.
    to : str, (str, int), sequence of these
        The model's inputs that it feeds, or a column of one.
    dtype : str
        What the raw value is: ``"string"``, ``"integer"`` (64 bits) or ``"number"`` (float64).
    transforms : sequence of Transform
        What is done to it, in order.
    missing : str
        What a missing value is: an error; ``"default"``, the raw value ``default``; ``"zero"``, 0 after
        the transforms; ``"oov"``, what the transforms make of the id that one of them has for unknown values,
        or of the default of a `Lookup`;
        ``"id"``, the whole number ``default`` after the transforms.
    default : str, int or float, optional
        See ``missing``. A number may be NaN, which trees know what to make of; in JSON that is ``"NaN"``.
    nan : str
        What NaN is: ``"error"``, ``"missing"``, or ``"keep"`` for a number like others.
    infinity : str
        What an infinity is: ``"error"`` or ``"keep"``.
    """

    name: str
    side: Side
    to: Any = ()
    dtype: Kind = "string"
    transforms: Sequence[Transform] = ()
    missing: Missing = "error"
    default: Any = None
    nan: Literal["error", "missing", "keep"] = "error"
    infinity: Literal["error", "keep"] = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", tuple(self.transforms))
        object.__setattr__(self, "to", as_targets(self.to))
        if self.dtype == "number" and self.default == NAN:
            object.__setattr__(self, "default", float("nan"))

    @property
    def flags_missing(self) -> bool:
        """Whether the graph is told which rows have no value."""
        return self.missing in ("zero", "oov", "id")

    def width(self, part: str = "value") -> int:
        """The places that a row has in what a part of the field feeds; 0 where that is one value."""
        return self.transforms[-1].width if self.transforms else 0

    def kinds(self, dtypes: Mapping[str, Kind] | None = None) -> list[Kind]:
        """What the value is before each transform, and at the end."""
        return _kinds(self.dtype, self.transforms)

    def largest(self, before: int | None) -> int | None:
        """The largest size of the whole number that it ends as, for raw ones no larger than ``before``."""
        return _largest(before, self.transforms)

    def unknown(self) -> tuple[int, float] | None:
        """After how many transforms unknown values have an id or a number of their own, and which; None if
        they never have."""
        found = ((place + 1, one.unknown()) for place, one in enumerate(self.transforms))
        return next(((place, id) for place, id in found if id is not None), None)

    def mistakes(self) -> Iterator[str]:
        """All that is wrong with the field alone."""
        if self.side not in SIDES:
            yield f"side: expected one of {', '.join(SIDES)}"
        if self.dtype not in KINDS:
            yield f"dtype: expected one of {', '.join(KINDS)}"
            return
        if self.missing not in RULES:
            yield f"missing: expected one of {', '.join(RULES)}"
        if self.nan not in ("error", "missing", "keep"):
            yield "nan: expected one of error, missing, keep"
        if self.infinity not in ("error", "keep"):
            yield "infinity: expected one of error, keep"
        if (self.default is None) == (self.missing in ("default", "id")):
            yield "default: expected a value where missing is 'default' or 'id', and none otherwise"
        elif self.missing == "id":
            yield from self._id_mistakes()
        elif self.default is not None and not self._holds(self.default):
            yield f"default: expected a value of type {self.dtype}"
        if self.missing == "oov" and self.unknown() is None:
            yield "missing: 'oov' needs a transform with an id for unknown values"
        yield from chain_mistakes(self.dtype, self.transforms)

    def _id_mistakes(self) -> Iterator[str]:
        if not is_of("integer", self.default):
            yield "default: expected a whole number where missing is 'id'"
        if self.width() or self.kinds()[-1] != "integer":
            yield "missing: 'id' needs transforms that give one whole number"

    def _holds(self, value: Any) -> bool:
        if self.dtype == "number":
            return not any(finite("", value)) or value != value
        return is_of(self.dtype, value)


@dataclass(frozen=True)
class ListField(Field):
    """Several values in each row: a history, tags, weights.

    Parameters
    ----------
    length : int
        Places that the model has for them. With ``offsets_to``, or 0, it takes all rows' values one after
        another instead, without padding; then the most that are kept of a row, 0 for all.
    keep : str
        Which values are kept of a longer list: ``"first"`` or ``"last"``.
    pad : str
        The side on which a shorter list is padded: ``"right"`` or ``"left"``.
    padding : float
        What stands at a padded place, after the transforms.
    separator : str
        Where a list is given as one string, what stands between its values; empty where it is a list.
    lengths_to, mask_to, offsets_to : str
        Inputs that take the number of kept values, 1 at each place that holds one and 0 elsewhere, and where
        each row's values begin among those of all rows.
    ends : bool
        Whether the offsets end with the number of all values.
    weights : str
        In raw rows, the list of numbers that belong to the values, one to each.
    weights_to : str
        The input that takes them, cut and padded (with 0) as the values are.
    most : int
        A longer list is an error; 0 for no bound.
    """

    length: int = 0
    keep: Literal["first", "last"] = "first"
    pad: Literal["right", "left"] = "right"
    padding: float = 0
    separator: str = ""
    lengths_to: str = ""
    mask_to: str = ""
    offsets_to: str = ""
    ends: bool = False
    weights: str = ""
    weights_to: str = ""
    most: int = 0

    @property
    def ragged(self) -> bool:
        """Whether the values of all rows follow each other without padding."""
        return bool(self.offsets_to) or not self.length

    @property
    def counts(self) -> Counts | None:
        """The last transform, if it takes all values of a row together."""
        last = self.transforms[-1] if self.transforms else None
        return last if isinstance(last, Counts) else None

    def of_weights(self) -> ListField:
        """The list of the weights, cut and padded in the same way, as a field of its own."""
        number: dict[str, Any] = {"dtype": "number", "transforms": (), "separator": "", "default": None}
        rules: dict[str, Any] = {"missing": "error" if self.missing == "error" else "zero", "nan": "error"}
        own: dict[str, Any] = {"name": self.weights, "to": self.weights_to, "weights": "", "weights_to": ""}
        return replace(self, **own, **number, **rules, infinity="error")

    def width(self, part: str = "value") -> int:
        if part == "value" and self.counts is not None:
            return self.counts.width
        return 0 if self.ragged or part == "length" else self.length

    def mistakes(self) -> Iterator[str]:
        yield from super().mistakes()
        if self.counts is not None:
            if self.ragged or self.padding:
                yield "counts: expected lists of a length that is given, without padding of their own"
        elif super().width():
            yield f"{self.transforms[-1].name}: expected for fields of one value"
        if self.missing == "id":
            yield "missing: expected 'id' for fields of one value"
        yield from finite("padding", self.padding)
        yield from whole("length", self.length, 0)
        yield from whole("most", self.most, 0)
        if self.keep not in ("first", "last"):
            yield "keep: expected one of first, last"
        if self.pad not in ("right", "left"):
            yield "pad: expected one of right, left"
        if self.separator and self.dtype != "string":
            yield "separator: expected none for lists of numbers"
        if bool(self.weights) != bool(self.weights_to):
            yield "weights: expected a list in raw rows and the input that takes it"
        if self.ends and not self.offsets_to:
            yield "ends: expected offsets that have one"
        if self.ragged:
            yield from self._ragged_mistakes()

    def _ragged_mistakes(self) -> Iterator[str]:
        if not (self.offsets_to or self.lengths_to):
            yield "length: expected a number of places, or the inputs that take offsets or lengths"
        if self.mask_to or self.pad != "right" or self.padding:
            yield "length: expected no mask and no padding for values that follow each other"
        if any(not isinstance(target, str) for target in self.to):
            yield "to: expected whole inputs for values that follow each other"


def known_fields(fields: Sequence[Field]) -> dict[str, Field]:
    """The columns of raw rows by name: the fields, and the lists of weights beside them."""
    lists = [item for item in fields if isinstance(item, ListField) and item.weights]
    return {**{item.name: item for item in fields}, **{item.weights: item.of_weights() for item in lists}}


@dataclass(frozen=True)
class Combination:
    """A value made of several fields' raw values, or of other such values; or a further use of one field.

    Parameters
    ----------
    name : str
    of : sequence of str
        The fields, of one value each; or, where they are crossed or joined, combinations that come before.
    by : Combine, optional
        How they are combined; nothing for a single field.
    to : str, (str, int), sequence of these
        As of `Field`.
    transforms : sequence of Transform
        What is done to the combined value.
    """

    name: str
    of: Sequence[str]
    by: Any = None
    to: Any = ()
    transforms: Sequence[Transform] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", in_order("of", self.of))
        object.__setattr__(self, "transforms", tuple(self.transforms))
        object.__setattr__(self, "to", as_targets(self.to))

    def width(self, part: str = "value") -> int:
        """As of `Field`."""
        return self.transforms[-1].width if self.transforms else 0

    def kinds(self, dtypes: Mapping[str, Kind]) -> list[Kind]:
        """As of `Field`, for the types of all fields."""
        return _kinds(self.kind([dtypes[name] for name in self.of]), self.transforms)

    def largest(self, before: int | None) -> int | None:
        """As of `Field`."""
        return _largest(before if self.by is None else self.by.largest(), self.transforms)

    def kind(self, kinds: Sequence[Kind]) -> Kind:
        """What the value is before the transforms, of fields of these types."""
        if self.by is None:
            return kinds[0]
        made: Kind = self.by.gives(kinds)
        return made

    def mistakes(self, known: Mapping[str, Field | Combination], dtypes: Mapping[str, Kind]) -> Iterator[str]:
        """All that is wrong with it, for what comes before it, and the types of that."""
        if not self.of:
            yield "of: expected names of fields"
        for name in self.of:
            one = known.get(name)
            if one is None:
                yield f"of: there is no field '{name}', and no combination before this one"
            elif isinstance(one, Combination):
                if self.by is None or not self.by.takes_combined:
                    yield f"of: expected fields, '{name}' is a combination"
                elif one.width():
                    yield f"of: expected one value, '{name}' is several"
            elif isinstance(one, ListField):
                yield f"of: expected fields of one value, '{name}' is a list"
            elif one.flags_missing:
                yield f"of: what is missing of '{name}' has no raw value; give it a default"
        if all(name in dtypes for name in self.of):
            kinds = [dtypes[name] for name in self.of]
            if self.by is None and len(self.of) != 1:
                yield "by: expected a way to combine several fields"
                return
            if self.by is not None:
                yield from self.by.mistakes(kinds)
            yield from chain_mistakes(self.kind(kinds), self.transforms)


def kinds_of(fields: Sequence[Field], combinations: Sequence[Combination]) -> dict[str, Kind]:
    """The types of fields' raw values, and of what combinations of known ones end as."""
    found: dict[str, Kind] = {item.name: item.dtype for item in fields}
    for made in combinations:
        if made.of and all(name in found for name in made.of):
            found[made.name] = made.kinds(found)[-1]
    return found


__all__ = [
    "KINDS",
    "NAN",
    "RULES",
    "SIDES",
    "Combination",
    "Field",
    "ListField",
    "Missing",
    "Side",
    "Target",
    "as_targets",
    "chain_mistakes",
    "kinds_of",
    "known_fields",
]
