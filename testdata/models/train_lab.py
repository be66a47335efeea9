"""Trains a decision tree on a table of per-packet features and writes it as a model file.

    pip install scikit-learn==1.9.1
    python testdata/models/train_lab.py features.csv testdata/models/lab.json

The table has a header and one row a packet: the twelve features under their names, as fixed-point integers; `class`, 0 for
benign and 1 for malicious; `weight`, how much the row counts.

scikit-learn compares in 32-bit floating point, which cannot tell large fixed-point integers apart. So each feature is replaced by
the rank of its value among all values of the table, which keeps their order and is exact; the thresholds are then put halfway between
the neighbouring integers on both sides of each split, rounded down. The script decides every row again with these integers and fails
if one differs from scikit-learn's decision.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy
import sklearn
from sklearn.tree import DecisionTreeClassifier

NODES_MAX = 8192
DEPTH_MAX = 32
# 32-bit floating point holds all whole numbers below this.
RANKS_MAX = 1 << 24


def main():
    options = arguments()
    schema = json.loads((Path(__file__).parent / "hand.json").read_text(encoding="utf-8"))["schema"]
    names = [feature["name"] for feature in schema["features"]]
    if unknown := set(options.without) - set(names):
        sys.exit(f"--without {', '.join(sorted(unknown))}: expected one of {', '.join(names)}")
    rows, classes, weights = read(options.table, names)
    ranks = numpy.empty(rows.shape, dtype=numpy.float32)
    for column in range(len(names)):
        values, rank = numpy.unique(rows[:, column], return_inverse=True)
        if len(values) >= RANKS_MAX:
            sys.exit(f"{options.table}: {len(values)} values of {names[column]}, expected fewer than {RANKS_MAX}; train on fewer rows")
        # A feature of one value is never asked for.
        ranks[:, column] = 0 if names[column] in options.without else rank

    parameters = {
        "max_depth": options.depth_max,
        "max_leaf_nodes": options.leaves_max,
        "min_samples_leaf": options.leaf_rows_min,
        "random_state": 0,
    }
    classifier = DecisionTreeClassifier(**parameters).fit(ranks, classes, sample_weight=weights)
    nodes = number(grow(classifier, ranks, rows))
    if len(nodes) > NODES_MAX:
        sys.exit(f"{len(nodes)} nodes, expected at most {NODES_MAX}; give a smaller --leaves-max")

    decided = decide(nodes, rows)
    different = int(numpy.count_nonzero(decided != classifier.predict(ranks)))
    confusion = {
        f"{name} decided {verdict}": int(numpy.count_nonzero((classes == index) & (decided == answer)))
        for index, name in enumerate(("benign", "malicious"))
        for answer, verdict in enumerate(("benign", "malicious"))
    }
    leaves = sum("class" in node for node in nodes)
    print(f"{len(rows)} rows, {leaves} leaves; decided otherwise than scikit-learn: {different}")
    for cell, count in confusion.items():
        print(f"{cell}: {count}")
    if different:
        sys.exit("the integer tree is not scikit-learn's tree; nothing is written")
    training = {
        "trainer": f"scikit-learn {sklearn.__version__} DecisionTreeClassifier, thresholds moved to integers by train_lab.py",
        "parameters": parameters,
        "without": sorted(options.without),
        "rows": len(rows),
        "rows_on_training_data": confusion,
    }
    options.model.write_text(text(options.description, schema, nodes, training), encoding="utf-8")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="the features, CSV")
    parser.add_argument("model", type=Path, help="the model file to write")
    parser.add_argument("--leaves-max", type=int, default=64, help="leaves of the tree, at most 4096 (default 64)")
    parser.add_argument("--depth-max", type=int, default=16, help="edges to the deepest leaf, at most 32 (default 16)")
    parser.add_argument("--leaf-rows-min", type=int, default=5, help="rows a leaf must have (default 5)")
    parser.add_argument("--without", action="append", default=[], metavar="FEATURE", help="do not use this feature; may be repeated")
    parser.add_argument("--description", default="Trained on the lab capture.", help="what the model is")
    options = parser.parse_args()
    if not 1 <= options.depth_max <= DEPTH_MAX or not 2 <= options.leaves_max <= NODES_MAX // 2:
        parser.error("expected a depth from 1 to 32 and 2 to 4096 leaves")
    return options


def read(path, names):
    with path.open(newline="") as lines:
        header = next(csv.reader(lines), [])
    missing = [name for name in [*names, "class", "weight"] if name not in header]
    if missing:
        sys.exit(f"{path}: no column {', '.join(missing)} in line 1; export the features with their names")

    def columns(wanted, kind):
        places = [header.index(name) for name in wanted]
        return numpy.loadtxt(path, dtype=kind, delimiter=",", skiprows=1, usecols=places, ndmin=2)

    rows, classes = columns(names, numpy.int64), columns(["class"], numpy.int64)[:, 0]
    weights = columns(["weight"], numpy.float64)[:, 0]
    if set(numpy.unique(classes)) != {0, 1}:
        sys.exit(f"{path}: classes {sorted(set(classes.tolist()))}, expected rows of both 0 and 1")
    return rows, classes, weights


def grow(classifier, ranks, rows):
    """The tree as nested tuples (feature, threshold, left, right) and classes; splits that decide nothing are dropped."""
    tree = classifier.tree_

    def below(node, members):
        if tree.children_left[node] < 0:
            return int(classifier.classes_[numpy.argmax(tree.value[node, 0])])
        feature = int(tree.feature[node])
        goes_left = ranks[members, feature] <= tree.threshold[node]
        left, right = members[goes_left], members[~goes_left]
        low, high = int(rows[left, feature].max()), int(rows[right, feature].min())
        children = below(tree.children_left[node], left), below(tree.children_right[node], right)
        if children[0] == children[1] and isinstance(children[0], int):
            return children[0]
        return (feature, low + (high - low) // 2, *children)

    return below(0, numpy.arange(len(rows)))


def number(tree):
    """The nodes of nested tuples, each before its children, the left subtree first."""
    nodes = []

    def put(tree):
        index = len(nodes)
        nodes.append(None)
        if isinstance(tree, int):
            nodes[index] = {"class": tree}
        else:
            feature, threshold, left, right = tree
            nodes[index] = {"feature": feature, "threshold": threshold, "left": put(left), "right": put(right)}
        return index

    put(tree)
    return nodes


def decide(nodes, rows):
    """The class of each row, with integers only."""
    decided = numpy.empty(len(rows), dtype=numpy.int64)
    open_nodes = [(0, numpy.arange(len(rows)))]
    while open_nodes:
        index, members = open_nodes.pop()
        node = nodes[index]
        if "class" in node:
            decided[members] = node["class"]
        else:
            goes_left = rows[members, node["feature"]] <= node["threshold"]
            open_nodes += [(node["left"], members[goes_left]), (node["right"], members[~goes_left])]
    return decided


def text(description, schema, nodes, training):
    """The model file, laid out as the model crate writes it; its tests compare the two."""

    def lines(values, indent):
        return f",\n{indent}".join(json.dumps(value, ensure_ascii=False) for value in values)

    free = json.dumps(training, indent=2, sort_keys=True, ensure_ascii=False).replace("\n", "\n  ")
    return f"""{{
  "format": "treeline-model",
  "version": 1,
  "description": {json.dumps(description, ensure_ascii=False)},
  "schema": {{
    "fraction_bits": {schema["fraction_bits"]},
    "features": [
      {lines(schema["features"], "      ")}
    ]
  }},
  "classes": ["benign", "malicious"],
  "nodes": [
    {lines(nodes, "    ")}
  ],
  "training": {free}
}}
"""


if __name__ == "__main__":
    main()
