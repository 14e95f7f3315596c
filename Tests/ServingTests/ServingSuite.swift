import Testing

/// What needs a daemon runs one after the other: each test has the machine's cores, and its times mean something.
@Suite(.serialized)
enum ServingSuite {}
