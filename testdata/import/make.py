#!/usr/bin/env python3
"""Writes the fixtures of `treeline import` beside this file: models by the real libraries, and what they say of thousands of vectors.

    pip install scikit-learn==1.9.1 xgboost==3.2.0 lightgbm==4.7.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 zstandard==0.25.0
    python testdata/import/make.py

`rows.zst`: vectors, twelve little-endian i64 each, fixed point with 16 fractional bits, gaps in ns. `NAME.probes.zst`: records of 12 bytes,
a row's index (u16), a feature (u8; 255: none), the value that the feature takes instead (i64), the library's answer (u8, an index into its
classes). First all rows as they are, then rows that reach a split, with its feature on the grid points around the threshold, and around the
points where 32-bit rounding turns.
"""

import json
import struct
from pathlib import Path

import lightgbm
import numpy
import onnx
import onnxruntime
import sklearn
import xgboost
import zstandard
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import (AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor,
                              VotingClassifier)
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).resolve().parent
NAMES = ["originator_port", "responder_port", "protocol", "length", "gap", "direction", "length_mean", "gap_mean", "direction_mean",
         "length_deviation", "gap_deviation", "direction_deviation"]
GAPS = [4, 7, 10]
ROWS = 1200
PROBES_MAX = 4000
UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
random = numpy.random.default_rng(2102)


def traffic():
    """Fixed-point vectors and three classes that depend on most features, with noise."""
    gap = lambda: numpy.exp(random.uniform(numpy.log(1e3), numpy.log(1e12), ROWS))
    grid = lambda real: numpy.floor(real * 65536).astype(numpy.int64)
    whole = lambda low, high: random.integers(low, high, ROWS) << 16
    rows = numpy.stack([
        whole(1024, 65536), random.choice([22, 53, 80, 443, 8080], ROWS) << 16, random.choice([1, 6, 17], ROWS) << 16, whole(40, 1501),
        gap().astype(numpy.int64) << 16, whole(0, 2), grid(random.uniform(40, 1500, ROWS)), grid(gap()), grid(random.uniform(0, 1, ROWS)),
        grid(random.uniform(0, 400, ROWS)), grid(gap()), grid(random.uniform(0, 0.5, ROWS)),
    ], axis=1)
    real = rows / 65536
    score = (numpy.log10(real[:, 7] + 1) - 7.5 + (real[:, 6] - 700) / 500 + 3 * (real[:, 8] - 0.5) + 2 * (real[:, 2] == 17)
             - 8 * (real[:, 11] - 0.2) + (real[:, 9] - 200) / 200 + numpy.log10(real[:, 10] + 1) / 6 + random.normal(0, 0.7, ROWS))
    return rows, numpy.digitize(score, [1.0, 3.0])


def floats(rows, unit="ns"):
    """The vectors as a library sees them: f64, gaps in `unit`, one division; or the integers themselves, `fixed`."""
    if unit == "fixed":
        return rows.astype(float)
    divisor = numpy.full(12, 65536.0)
    divisor[GAPS] *= UNIT_NS[unit]
    return rows / divisor


class Split:
    """A node on which rows divide, whatever the library."""

    def __init__(self, feature, threshold, left, right):
        self.feature, self.threshold, self.left, self.right = feature, threshold, left, right


def sklearn_splits(tree, node=0):
    if tree.children_left[node] == -1:
        return None
    children = [sklearn_splits(tree, child) for child in (tree.children_left[node], tree.children_right[node])]
    return Split(int(tree.feature[node]), float(tree.threshold[node]), *children)


def xgboost_splits(tree, node=0):
    if tree["left_children"][node] == -1:
        return None
    children = [xgboost_splits(tree, tree[side][node]) for side in ("left_children", "right_children")]
    return Split(tree["split_indices"][node], float(tree["split_conditions"][node]), *children)


def lightgbm_splits(node):
    if "split_feature" not in node:
        return None
    return Split(node["split_feature"], node["threshold"], lightgbm_splits(node["left_child"]), lightgbm_splits(node["right_child"]))


def neighbours(feature, threshold, unit):
    """Grid points on both sides of a threshold and of its 32-bit neighbours' midpoints, exactly."""
    scale = 1 if unit == "fixed" else 65536 * (UNIT_NS[unit] if feature in GAPS else 1)
    at = numpy.float32(threshold)
    below, above = numpy.nextafter(at, numpy.float32(-numpy.inf)), numpy.nextafter(at, numpy.float32(numpy.inf))
    points = [threshold, float(at), (float(at) + float(above)) / 2, (float(at) + float(below)) / 2]
    values = set()
    for point in points:
        numerator, denominator = float(point).as_integer_ratio()
        exact = numerator * scale // denominator
        values.update(exact + step for step in (-1, 0, 1))
    return [value for value in values if 0 <= value < 1 << 62]


def boundary(splits, rows, unit):
    """(row, feature, value): rows that reach a split, moved onto its boundary."""
    found = []

    def visit(split, reached):
        if split is None or not len(reached):
            return
        for row in random.choice(reached, min(3, len(reached)), replace=False):
            found.extend((int(row), split.feature, value) for value in neighbours(split.feature, split.threshold, unit))
        goes_left = real[reached, split.feature] <= split.threshold
        visit(split.left, reached[goes_left])
        visit(split.right, reached[~goes_left])

    real = floats(rows, unit)
    for split in splits:
        visit(split, numpy.arange(len(rows)))
    return [found[index] for index in sorted(random.permutation(len(found))[:PROBES_MAX])]


def probes(name, splits, predict, rows, unit="ns"):
    """Asks the library for all rows and for the boundary; `predict` takes f64 vectors and gives indices of classes."""
    asked = [(row, 255, 0) for row in range(len(rows))] + boundary(splits, rows, unit)
    vectors = rows[[row for row, _, _ in asked]]
    for vector, (_, feature, value) in zip(vectors, asked):
        if feature != 255:
            vector[feature] = value
    answers = numpy.asarray(predict(floats(vectors, unit))).astype(int)
    records = b"".join(struct.pack("<HBqB", *probe, answer) for probe, answer in zip(asked, answers))
    compressed(f"{name}.probes.zst", records)
    print(f"{name}: {len(asked)} probes, {len(splits)} trees, answers {numpy.bincount(answers).tolist()}")


def compressed(name, data):
    (HERE / name).write_bytes(zstandard.ZstdCompressor(level=19).compress(data))


def exported(trees, classifier, names=None):
    """The snippet of docs/import.md."""
    arrays = lambda tree: {
        "children_left": tree.children_left.tolist(), "children_right": tree.children_right.tolist(), "feature": tree.feature.tolist(),
        "threshold": tree.threshold.tolist(), "value": tree.value[:, 0, :].tolist()}
    kind = type(classifier)
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "version": sklearn.__version__,
            "classes": classifier.classes_.tolist(), "n_features": int(classifier.n_features_in_),
            "trees": [arrays(tree) for tree in trees]} | ({"feature_names": names} if names else {})


def write_json(name, document):
    (HERE / name).write_text(json.dumps(document, separators=(",", ":")))


def scikit_learn(rows, classes):
    index = lambda classifier: lambda real: numpy.searchsorted(classifier.classes_, classifier.predict(real))
    text = numpy.array(["dos", "BENIGN", "scan"])[classes]
    for name, classifier, target, unit, names in [
        ("sklearn-tree", DecisionTreeClassifier(max_depth=10, max_leaf_nodes=60, random_state=1), classes > 0, "ns", None),
        ("sklearn-text", DecisionTreeClassifier(max_depth=8, max_leaf_nodes=50, random_state=2), text, "ms", NAMES),
        ("sklearn-forest", RandomForestClassifier(12, max_depth=5, max_leaf_nodes=14, random_state=3), classes, "ns", NAMES),
    ]:
        classifier.fit(floats(rows, unit), target.astype(int) if target.dtype == bool else target)
        trees = [tree.tree_ for tree in getattr(classifier, "estimators_", [classifier])]
        write_json(f"{name}.json", exported(trees, classifier, names))
        probes(name, [sklearn_splits(tree) for tree in trees], index(classifier), rows, unit)


def paper(rows, classes):
    """Five arrays as the paper's: the tree in whole milliseconds, times 65536; decided here by that integer comparison."""
    units = numpy.array([10**6 if feature in GAPS else 1 for feature in range(12)])
    tree = DecisionTreeClassifier(max_depth=9, max_leaf_nodes=60, random_state=4).fit(numpy.floor(floats(rows, "ms")), classes > 0).tree_
    arrays = {
        "childrenLeft": tree.children_left, "childrenRight": tree.children_right, "feature": tree.feature,
        "threshold": numpy.where(tree.feature < 0, -2, numpy.floor(tree.threshold * 65536)).astype("<i8"),
        "value": tree.value[:, 0, :].argmax(axis=1)}
    (HERE / "paper").mkdir(exist_ok=True)
    for name, array in arrays.items():
        (HERE / "paper" / name).write_bytes(array.astype("<i8").tobytes())

    # A vector in ns goes left where it is at or below the threshold in ns: whole numbers, nothing to round.
    def answer(vector):
        node = 0
        while arrays["childrenLeft"][node] != -1:
            feature = arrays["feature"][node]
            goes_left = int(vector[feature]) <= int(arrays["threshold"][node]) * int(units[feature])
            node = arrays["childrenLeft" if goes_left else "childrenRight"][node]
        return arrays["value"][node]

    scaled = sklearn_splits(tree)
    asked = [(row, 255, 0) for row in range(len(rows))] + boundary([scaled], rows, "ms")
    records = b""
    for row, feature, value in asked:
        vector = rows[row].copy()
        if feature != 255:
            vector[feature] = value
        records += struct.pack("<HBqB", row, feature, value, int(answer(vector)))
    compressed("paper.probes.zst", records)
    print(f"paper: {len(asked)} probes")


def boosted_xgboost(rows, classes):
    for name, rounds, target, unit, names, parameters in [
        ("xgboost-one", 1, classes > 0, "ns", None, {"objective": "binary:logistic", "max_depth": 6}),
        ("xgboost-binary", 20, classes > 0, "us", NAMES, {"objective": "binary:logistic", "max_depth": 4, "base_score": 0.3}),
        ("xgboost-pruned", 12, classes > 0, "ns", None, {"objective": "binary:logistic", "max_depth": 6, "gamma": 4, "tree_method": "exact"}),
        ("xgboost-multi", 6, classes, "ns", None, {"objective": "multi:softprob", "num_class": 3, "max_depth": 4}),
    ]:
        data = lambda real, **label: xgboost.DMatrix(real, feature_names=names, **label)
        booster = xgboost.train(parameters | {"seed": 1, "nthread": 1}, data(floats(rows, unit), label=target), rounds)
        booster.save_model(HERE / f"{name}.json")
        trees = json.loads((HERE / f"{name}.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]

        def predict(real):
            said = booster.predict(data(real))
            return said.argmax(axis=1) if said.ndim == 2 else said > 0.5

        probes(name, [xgboost_splits(tree) for tree in trees], predict, rows, unit)


def boosted_lightgbm(rows, classes):
    for name, rounds, target, unit, names, parameters in [
        ("lightgbm-one", 1, classes > 0, "ns", "auto", {"objective": "binary", "num_leaves": 31, "learning_rate": 1}),
        ("lightgbm-binary", 20, classes > 0, "s", NAMES, {"objective": "binary", "num_leaves": 12, "sigmoid": 0.7}),
        ("lightgbm-multi", 6, classes, "ns", "auto", {"objective": "multiclass", "num_class": 3, "num_leaves": 12}),
    ]:
        settings = parameters | {"verbose": -1, "num_threads": 1, "seed": 1, "deterministic": True, "force_row_wise": True}
        booster = lightgbm.train(settings, lightgbm.Dataset(floats(rows, unit), target, feature_name=names), rounds)
        booster.save_model(HERE / f"{name}.txt")
        splits = [lightgbm_splits(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]

        def predict(real):
            said = booster.predict(real)
            return said.argmax(axis=1) if said.ndim == 2 else said > 0.5

        probes(name, splits, predict, rows, unit)


def onnx_models(rows, classes):
    text = numpy.array(["dos", "benign", "scan"])[classes]
    binary = (classes > 0).astype(int)
    for name, model, target, element, opset in [
        ("onnx-tree", DecisionTreeClassifier(max_depth=9, max_leaf_nodes=50, random_state=5), binary, numpy.float32, None),
        ("onnx-text", DecisionTreeClassifier(max_depth=8, max_leaf_nodes=40, random_state=6), text, numpy.float32, None),
        ("onnx-double", DecisionTreeClassifier(max_depth=7, max_leaf_nodes=30, random_state=7), binary, numpy.float64, None),
        ("onnx-forest", RandomForestClassifier(10, max_depth=5, max_leaf_nodes=14, random_state=8), binary, numpy.float32, None),
        ("onnx-regressor", RandomForestRegressor(7, max_depth=5, max_leaf_nodes=14, random_state=9), binary, numpy.float32, None),
    ]:
        model.fit(floats(rows), target)
        document = to_onnx(model, floats(rows)[:1].astype(numpy.float32), options=None if "regressor" in name else {"zipmap": False},
                           target_opset={"": 17, "ai.onnx.ml": 3})
        if element == numpy.float64:  # Given in 64 bits, compared with 32-bit thresholds.
            document.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
        onnx.save(document, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(document.SerializeToString(), sessions())
        labels = getattr(model, "classes_", None)

        def predict(real):
            said = session.run(None, {session.get_inputs()[0].name: real.astype(element)})[0]
            return said[:, 0] > 0.5 if labels is None else numpy.searchsorted(labels, said)

        probes(name, [sklearn_splits(tree.tree_) for tree in getattr(model, "estimators_", [model])], predict, rows)
    for name, trees in [("onnx-v5-tree", 1), ("onnx-v5-forest", 5)]:
        forest = RandomForestClassifier(trees, max_depth=6, max_leaf_nodes=20, random_state=10).fit(floats(rows), classes)
        trees = [tree.tree_ for tree in forest.estimators_]
        document = version_5(trees)
        onnx.save(document, HERE / f"{name}.onnx")
        session = onnxruntime.InferenceSession(document.SerializeToString(), sessions())
        predict = lambda real: session.run(None, {"X": real.astype(numpy.float32)})[0].argmax(axis=1)
        probes(name, [sklearn_splits(tree) for tree in trees], predict, rows)


def sessions():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def version_5(trees):
    """scikit-learn's trees as one TreeEnsemble of ai.onnx.ml 5. A leaf has one target, so each tree stands three times, once for each class."""
    inner, leaves, roots = [], [], []
    for tree in trees:
        for target in range(3):
            def visit(node):
                if tree.children_left[node] == -1:
                    leaves.append((target, float(tree.value[node, 0, target])))
                    return len(leaves) - 1, 1
                place = len(inner)
                inner.append(None)
                true, true_leaf = visit(tree.children_left[node])
                false, false_leaf = visit(tree.children_right[node])
                # Odd nodes ask the other way round: feature > threshold, children swapped.
                mode, ends = (0, (true, true_leaf, false, false_leaf)) if place % 2 == 0 else (3, (false, false_leaf, true, true_leaf))
                inner[place] = (int(tree.feature[node]), float(tree.threshold[node]), mode, *ends)
                return place, 0

            roots.append(visit(0)[0])
    feature, threshold, mode, true, true_leaf, false, false_leaf = map(list, zip(*inner))
    node = helper.make_node(
        "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=3, aggregate_function=1, post_transform=0, tree_roots=roots,
        nodes_featureids=feature, nodes_splits=helper.make_tensor("splits", TensorProto.FLOAT, [len(inner)], threshold),
        nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, [len(inner)], mode),
        nodes_truenodeids=true, nodes_trueleafs=true_leaf, nodes_falsenodeids=false, nodes_falseleafs=false_leaf,
        leaf_targetids=[target for target, _ in leaves],
        leaf_weights=helper.make_tensor("weights", TensorProto.FLOAT, [len(leaves)], [weight for _, weight in leaves]))
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
    graph = helper.make_graph([node], "trees", [value("X", 12)], [value("Y", 3)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 5), helper.make_opsetid("", 21)], ir_version=10)


def fixed_columns(rows, classes):
    """Trained on the columns NAME_fixed of a table: integers, in a frame with names and without."""
    names = [f"{name}_fixed" for name in NAMES]
    forest = ExtraTreesClassifier(5, max_depth=5, max_leaf_nodes=14, random_state=11).fit(floats(rows, "fixed"), classes)
    trees = [tree.tree_ for tree in forest.estimators_]
    write_json("sklearn-fixed.json", exported(trees, forest, names))
    probes("sklearn-fixed", [sklearn_splits(tree) for tree in trees], forest.predict, rows, "fixed")
    booster = xgboost.XGBClassifier(n_estimators=3, max_depth=4, n_jobs=1, random_state=1).fit(floats(rows, "fixed"), classes > 0)
    saved("xgboost-fixed", booster, rows, "fixed")


def saved(name, booster, rows, unit="ns"):
    """Saves and asks a model of XGBoost's scikit-learn interface; the probes lie about all its rounds."""
    booster.save_model(HERE / f"{name}.json")
    trees = json.loads((HERE / f"{name}.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]
    probes(name, [xgboost_splits(tree) for tree in trees], booster.predict, rows, unit)


def early_stopped(rows, classes):
    """More rounds than the best ones, two trees a round; one with the scikit-learn interface, one without, and LightGBM's."""
    real, target, half = floats(rows), classes > 0, len(rows) // 2
    settings = {"max_depth": 4, "learning_rate": 1, "num_parallel_tree": 2, "subsample": 0.5}
    booster = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=3, n_jobs=1, random_state=1, **settings)
    booster.fit(real[:half], target[:half], eval_set=[(real[half:], target[half:])], verbose=False)
    saved("xgboost-early", booster, rows)
    data = lambda part: xgboost.DMatrix(real[part], label=target[part])
    booster = xgboost.train(settings | {"objective": "binary:logistic", "seed": 1, "nthread": 1}, data(slice(half)), 30,
                            evals=[(data(slice(half, None)), "half")], early_stopping_rounds=3, verbose_eval=False)
    booster.save_model(HERE / "xgboost-early-native.json")
    trees = json.loads((HERE / "xgboost-early-native.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]
    probes("xgboost-early-native", [xgboost_splits(tree) for tree in trees], lambda real: booster.predict(xgboost.DMatrix(real)) > 0.5, rows)
    settings = {"objective": "binary", "num_leaves": 12, "learning_rate": 0.9, "verbose": -1, "num_threads": 1, "seed": 1, "deterministic": True,
                "force_row_wise": True}
    booster = lightgbm.train(settings, lightgbm.Dataset(real[:half], target[:half]), 60, valid_sets=[lightgbm.Dataset(real[half:], target[half:])],
                             callbacks=[lightgbm.early_stopping(3, verbose=False)])
    booster.save_model(HERE / "lightgbm-early.txt")
    splits = [lightgbm_splits(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    probes("lightgbm-early", splits, lambda real: booster.predict(real) > 0.5, rows)
    print("best iterations:", booster.best_iteration, "of", booster.current_iteration())


def rejected(rows, classes):
    """Models that have trees and decide by them in ways of their own, as the snippet of docs/import.md and the library write them."""
    (HERE / "rejected").mkdir(exist_ok=True)
    small, target = DecisionTreeClassifier(max_depth=2, random_state=1), (classes > 0).astype(int)
    for name, model in [
        ("adaboost", AdaBoostClassifier(small, n_estimators=3, random_state=1)),
        ("bagging", BaggingClassifier(small, n_estimators=3, max_features=6, random_state=1)),
        ("voting", VotingClassifier([("two", small), ("three", DecisionTreeClassifier(max_depth=3, random_state=1))])),
    ]:
        model.fit(floats(rows), target)
        write_json(f"rejected/{name}.json", exported([tree.tree_ for tree in model.estimators_], model))
    data = xgboost.DMatrix(floats(rows), label=target)
    for name, settings in [
        ("gblinear", {"booster": "gblinear", "objective": "binary:logistic"}),
        ("dart", {"booster": "dart", "rate_drop": 0.5, "objective": "binary:logistic"}),
        ("hinge", {"objective": "binary:hinge"}),
        ("vector", {"objective": "multi:softprob", "num_class": 2, "multi_strategy": "multi_output_tree"}),
    ]:
        booster = xgboost.train(settings | {"max_depth": 1, "seed": 1, "nthread": 1}, data, 2)
        booster.save_model(HERE / "rejected" / f"{name}.json")
    for name, settings in [
        ("forest", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
        ("one-against-all", {"objective": "multiclassova", "num_class": 2}),
        ("zero-missing", {"objective": "binary", "zero_as_missing": True}),
        ("custom", {"objective": lambda scores, data: (scores - data.get_label(), numpy.ones_like(scores))}),
    ]:
        settings = settings | {"num_leaves": 3, "verbose": -1, "num_threads": 1, "seed": 1}
        lightgbm.train(settings, lightgbm.Dataset(floats(rows), target), 2).save_model(HERE / "rejected" / f"{name}.txt")


def rejected_operators():
    """Stumps of which onnxruntime does not add up what the operator's text says. Each is asserted to show it."""
    def stump(name, operator, weights, **attributes):
        prefix = "class" if operator == "TreeEnsembleClassifier" else "target"
        nodes, outputs, numbers = zip(*weights)
        leaves = {f"{prefix}_treeids": [0] * len(weights), f"{prefix}_nodeids": nodes, f"{prefix}_ids": outputs, f"{prefix}_weights": numbers}
        node = helper.make_node(
            operator, ["X"], ["Y", "Z"] if prefix == "class" else ["Y"], domain="ai.onnx.ml", nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2],
            nodes_featureids=[3, 0, 0], nodes_values=[100.5, 0.0, 0.0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], **leaves, **attributes)
        value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
        outputs = [value("Y", TensorProto.INT64 if prefix == "class" else TensorProto.FLOAT, None)]
        outputs += [value("Z", TensorProto.FLOAT, None)] if prefix == "class" else []
        graph = helper.make_graph([node], "stump", [value("X", TensorProto.FLOAT, [None, 12])], outputs)
        document = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(document, HERE / "rejected" / f"{name}.onnx")
        rows = numpy.zeros((2, 12), numpy.float32)
        rows[1, 3] = 200
        return onnxruntime.InferenceSession(document.SerializeToString(), sessions()).run(None, {"X": rows})[0]

    # 0.4 and 0.6 with a base of 0.2 are 0.6 and 0.8: both above one half, by the text.
    answers = stump("base-of-class-1", "TreeEnsembleClassifier", [(1, 1, 0.4), (2, 1, 0.6)], base_values=[0.2], classlabels_int64s=[0, 1])
    assert answers.tolist() != [1, 1], answers
    # Without a weight class 0 has 0, more than the others.
    weights = [(1, 1, -1.0), (1, 2, -2.0), (2, 0, 1.0), (2, 1, 0.5), (2, 2, 0.0)]
    answers = stump("leaf-without-class", "TreeEnsembleClassifier", weights, classlabels_int64s=[0, 1, 2])
    assert answers.tolist() != [0, 0], answers
    # Target 2 has its base of 0.9 in any case.
    weights = [(1, 0, 0.1), (1, 1, 0.2), (2, 0, 0.1), (2, 1, 0.2), (2, 2, 0.3)]
    answers = stump("leaf-without-target", "TreeEnsembleRegressor", weights, base_values=[0.0, 0.0, 0.9], n_targets=3)
    assert answers.argmax(axis=1).tolist() != [2, 2], answers
    # The sigmoid of 0.2 and 0.4 is above one half.
    answers = stump("logistic-target", "TreeEnsembleRegressor", [(1, 0, 0.2), (2, 0, 0.4)], post_transform="LOGISTIC", n_targets=1)
    assert not (answers > 0.5).any(), answers


def main():
    rows, classes = traffic()
    compressed("rows.zst", rows.astype("<i8").tobytes())
    # The order matters: each draws on from where the one before it stopped.
    for write in (scikit_learn, paper, boosted_xgboost, boosted_lightgbm, onnx_models, fixed_columns, early_stopped, rejected):
        write(rows, classes)
    rejected_operators()


main()
