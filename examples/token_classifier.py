"""A text task made here, for a Hugging Face classifier: is one transformer layer enough?

Run: depthprobe grow hf:BertForSequenceClassification --model-args num_hidden_layers=1 --model-args hidden_size=32 \
         --model-args num_attention_heads=4 --model-args intermediate_size=64 --model-args vocab_size=40 \
         --model-args max_position_embeddings=16 --dataset examples/token_classifier.py:data --optimizer adamw

A text has 12 tokens; somewhere in it a question (token 1 or 2) asks for the first or the last of the colours (tokens 3,
4, 5) around it. The classifier has to find the question and then the colour: one attends to the other.
"""

import torch

LENGTH, WORDS, COLOURS = 12, 40, 3


def data():
    """x (3000, 12) int64 token ids below 40; y (3000,) the colour asked for, 0..2."""
    x = torch.randint(6, WORDS, (3000, LENGTH))
    rows = torch.arange(len(x))
    question, *places = torch.rand(len(x), LENGTH).argsort(1)[:, :4].T
    places = torch.stack(places).sort(0).values
    colours = torch.randint(COLOURS, places.shape)
    for place, colour in zip(places, colours, strict=True):
        x[rows, place] = 3 + colour
    last = torch.rand(len(x)) < 0.5
    x[rows, question] = 1 + last.long()
    return {"train": (x, torch.where(last, colours[-1], colours[0]))}
