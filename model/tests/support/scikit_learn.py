"""Fits scikit-learn's tree to the table in a folder, once for each line of standard input, and answers with the tree as one line of JSON.

A line is JSON: {"depth_max": .., "leaves_max": .. or null, "leaf_rows_min": .., "seed": ..}. The folder has x.i64 (column after column), y.u16, w.f32 and, held out,
test.i64; the answer's predictions for the latter go to predictions.u16. Features are divided by argument 2 before scikit-learn makes them float32.
"""

import json
import sys
import time

import numpy as np
import sklearn
from sklearn.tree import DecisionTreeClassifier

FEATURES = 12
folder, divisor = sys.argv[1], float(sys.argv[2])


def features(name):
    columns = np.fromfile(f"{folder}/{name}", dtype="<i8").reshape(FEATURES, -1)
    return np.ascontiguousarray((columns.T / divisor).astype(np.float32))


x, test = features("x.i64"), features("test.i64")
y = np.fromfile(f"{folder}/y.u16", dtype="<u2")
weights = np.fromfile(f"{folder}/w.f32", dtype="<f4").astype(np.float64)

for line in sys.stdin:
    settings = json.loads(line)
    classifier = DecisionTreeClassifier(
        max_depth=settings["depth_max"], max_leaf_nodes=settings["leaves_max"], random_state=settings["seed"],
        min_samples_leaf=settings["leaf_rows_min"]
    )
    start = time.process_time()
    classifier.fit(x, y, weights)
    cpu_seconds = time.process_time() - start
    tree = classifier.tree_
    classifier.predict(test).astype("<u2").tofile(f"{folder}/predictions.u16")
    answer = {
        "version": sklearn.__version__,
        "cpu_seconds": cpu_seconds,
        "feature": tree.feature.tolist(),
        "threshold": tree.threshold.tolist(),
        "left": tree.children_left.tolist(),
        "right": tree.children_right.tolist(),
        "rows": tree.n_node_samples.tolist(),
        "impurity": tree.impurity.tolist(),
        "weight": tree.weighted_n_node_samples.tolist(),
        "importances": classifier.feature_importances_.tolist(),
    }
    print(json.dumps(answer), flush=True)
