# SPDX-License-Identifier: Apache-2.0
"""The chain of a text: the law of L characters in a row, given that all of them are among its K most frequent ones."""

import numpy as np

from host.targets.bigram import corpus_bigram
from host.text.tokenizer import CharTokenizer
from hw.spec.errors import check_int

from .model import ChainModel


def corpus_chain(text: str, *, length: int, k: int) -> ChainModel:
    """Biases of the first node: ln p(x); couplings: ln p(next | x), of the Witten-Bell bigram of the characters.

    Raises
    ------
    SpecError
        The text has fewer than `k` different characters.
    """
    tokenizer = CharTokenizer.train(text)
    tokens = np.asarray(tokenizer.encode(text))
    counts = np.bincount(tokens, minlength=tokenizer.vocab_size)
    check_int("K", k, 1, int(np.count_nonzero(counts)))
    kept = np.sort(np.argsort(-counts, kind="stable")[:k])
    bigram = corpus_bigram(tokens=tokens, vocab_size=tokenizer.vocab_size)
    couplings = np.log(bigram.table[np.ix_(kept, kept)])
    biases = np.zeros((length, k))
    biases[0] = np.log(bigram.start[kept])
    return ChainModel(biases=biases, couplings=np.broadcast_to(couplings, (length - 1, k, k)))
