"""An OpenAI on loopback that keeps its own bill.

It speaks OpenAI's wire format, decides from a seed what every call used, and bills it from a price table of
its own, in Decimal. It imports nothing of `billing`, so that Farebox's ledger can be held against a second,
independent bill. The life of a call, file by file:

    asks           what was asked: operation, model, limits; or the refusal OpenAI would give
    instructions   what the caller or the operator told the simulator to do: fixed figures, faults
    texts, minds   what is said, and what it used (seeded)
    tariff, bill   what that costs; the rows
    chats, responses, short_answers     the answer in OpenAI's JSON and events
    delivery       in which pieces the bytes leave, where they stall, where they break off
    simulator      all of that for one call; the only state: the bill, what is kept, how often a call was seen
    server         the sockets
"""
