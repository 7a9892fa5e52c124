"""Jaxsep against its peers: python -m experiments.benchmarks [--quick] [contrastive top_k ...].

Without names all are measured. Prints one table, writes a JSON file for each, and the table in the
README. `experiments.measuring.runner` says what a benchmark is.
"""

import sys

from experiments.measuring import runner

if __name__ == '__main__':
    sys.exit(runner.main())
