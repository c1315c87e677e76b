"""Train a Wide & Deep in Keras on strings and numbers, and keep what serving needs of it.

``python benchmarks/keras_wide_deep.py OUTPUT`` with TensorFlow, Keras 3 and tf2onnx, which pyrec_infer does
not need: the trained model as ``.keras``, its numeric part as ONNX, and rows with the scores of Keras.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

ROWS = 2000
CITIES = ["rome", "oslo", "kyiv", "lima", "quito"]


def made_up(count, seed):
    """Rows with a click that depends on all fields."""
    rng = np.random.default_rng(seed)
    rows = {
        "city": rng.choice([*CITIES, "elsewhere", ""], count),
        "sku": np.asarray([f"sku-{number}" for number in rng.integers(0, 300, count)]),
        "price": rng.lognormal(3, 1, count).astype(np.float32),
    }
    logit = 1.5 * (rows["city"] == "rome") - 0.8 * np.log1p(rows["price"]) + 2
    logit += np.asarray([int(sku[4:]) % 7 - 3 for sku in rows["sku"]]) * 0.4
    return rows, (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.float32)


def build(rows):
    """The whole model, and the part of it behind the preprocessing layers."""
    raw = {
        "city": keras.Input((1,), dtype="string", name="city"),
        "sku": keras.Input((1,), dtype="string", name="sku"),
        "price": keras.Input((1,), dtype="float32", name="price"),
    }
    lookup = keras.layers.StringLookup(name="city_id", num_oov_indices=2, mask_token="")
    lookup.adapt(rows["city"])
    hashing = keras.layers.Hashing(64, name="sku_id")
    normal = keras.layers.Normalization(name="price_norm")
    normal.adapt(rows["price"].reshape(-1, 1))
    made = {"city_id": lookup(raw["city"]), "sku_id": hashing(raw["sku"]), "price_norm": normal(raw["price"])}
    sizes = {"city_id": lookup.vocabulary_size(), "sku_id": 64}
    deep = {name: keras.layers.Embedding(size, 4, name=f"{name}_deep") for name, size in sizes.items()}
    wide = {name: keras.layers.Embedding(size, 1, name=f"{name}_wide") for name, size in sizes.items()}
    flat, joined = keras.layers.Flatten(), keras.layers.Concatenate()
    dense = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]

    def score(values):
        x = joined([*(flat(layer(values[name])) for name, layer in deep.items()), values["price_norm"]])
        for layer in dense:
            x = layer(x)
        terms = [flat(layer(values[name])) for name, layer in wide.items()]
        return keras.layers.Activation("sigmoid", name="click")(keras.layers.Add()([x, *terms]))

    numeric = {
        name: keras.Input((1,), dtype="float32" if name == "price_norm" else "int64", name=name)
        for name in made
    }
    return keras.Model(raw, score(made)), keras.Model(numeric, score(numeric))


def spaces(rows, output, name, crosses):
    """A FeatureSpace adapted to the same rows, and what it makes of some of them."""
    space = keras.utils.FeatureSpace(
        features={
            "city": keras.utils.FeatureSpace.string_categorical(num_oov_indices=1, output_mode="one_hot"),
            "sku": keras.utils.FeatureSpace.string_hashed(num_bins=8, output_mode="one_hot"),
            "price": keras.utils.FeatureSpace.float_normalized(),
            "age": keras.utils.FeatureSpace.float_discretized(num_bins=4, output_mode="one_hot"),
            "rate": keras.utils.FeatureSpace.float_rescaled(scale=0.5, offset=1.0),
            "kind": keras.utils.FeatureSpace.integer_categorical(num_oov_indices=1, output_mode="one_hot"),
        },
        crosses=[keras.utils.FeatureSpace.cross(of, crossing_dim=size) for of, size in crosses],
        output_mode="concat",
    )
    rng = np.random.default_rng(7)
    count = len(rows["price"])
    age, rate = rng.uniform(0, 90, count), rng.normal(size=count)
    more = {"age": age.astype(np.float32), "rate": rate.astype(np.float32)}
    every = {**rows, **more, "kind": rng.integers(0, 4, count)}
    space.adapt(tf.data.Dataset.from_tensor_slices(every).batch(100))
    space.save(str(output / f"{name}.keras"))
    few = {key: values[:20] for key, values in every.items()}
    few["city"] = np.where(np.arange(20) == 3, "never seen", few["city"])
    np.savez_compressed(output / f"{name}.npz", expected=space(few).numpy(), **few)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    rows, clicks = made_up(ROWS, 0)
    model, numeric = build(rows)
    model.compile("adam", "binary_crossentropy")
    batches = tf.data.Dataset.from_tensor_slices((rows, clicks)).batch(50)
    model.fit(batches, epochs=3, verbose=0)
    model.save(output / "wide_deep.keras")
    numeric({name: np.zeros((1, 1)) for name in ("city_id", "sku_id", "price_norm")})
    numeric.export(output / "wide_deep.onnx", format="onnx", verbose=False)
    tests, _ = made_up(200, 1)
    scores = model({name: tf.constant(values.reshape(-1, 1)) for name, values in tests.items()}).numpy()
    np.savez_compressed(output / "wide_deep.npz", scores=scores.reshape(-1), **tests)
    spaces(rows, output, "space", [])
    spaces(rows, output, "crossed_space", [(("sku", "city"), 13), (("kind", "age"), 7)])


if __name__ == "__main__":
    main()
