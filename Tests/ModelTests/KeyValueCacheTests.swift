import Model
import Quantizer
import Testing

@Suite struct KeyValueCacheTests {
    private let block = KeyValueCache.blockLength

    @Test func blocksAreTakenAsASequenceGrowsAndGivenBack() throws {
        let model = try load(.demo, .int4)
        let cache = try model.makeCache()
        let free = cache.freeBlockCount
        let tokens = try Golden(.demo).tokens
        do {
            let state = cache.makeState(capacity: 256)
            #expect(cache.freeBlockCount == free)
            try model.prefill(tokens[..<block], state: state)
            #expect(cache.freeBlockCount == free - 1)
            try model.decode(1, state: state)
            #expect(cache.freeBlockCount == free - 2)
            state.truncate(to: block)
            #expect(cache.freeBlockCount == free - 1)
            state.reset()
            #expect(cache.freeBlockCount == free)
            try model.prefill(tokens[..<100], state: state)
        }
        #expect(cache.freeBlockCount == free)
    }

    @Test func whatDoesNotFitIsRefusedAndFitsLater() throws {
        let model = try load(.demo, .int4)
        let cache = try KeyValueCache(configuration: model.configuration, blockCount: 2, format: .f32)
        let tokens = try Golden(.demo).tokens
        var first: DecodingState? = cache.makeState(capacity: 128)
        if let first { try model.prefill(tokens[..<100], state: first) }
        let second = cache.makeState(capacity: 128)
        let error = #expect(throws: ModelError.self) { try model.prefill(tokens[..<3], state: second) }
        #expect(error?.code == .cacheFull)
        #expect(second.tokenCount == 0)
        first = nil
        try model.prefill(tokens[..<3], state: second)
    }

    /// A state that begins with another's tokens computes what one that begins anew does, whatever becomes of the other.
    @Test(arguments: [1, 63, 64, 65, 100, 128, 140])
    func aPrefixSavesItsTokensAndChangesNothing(count: Int) throws {
        let model = try load(.demo, .int4, context: 512)
        let cache = try model.makeCache()
        let tokens = try Golden(.demo).tokens
        let prompt = tokens[..<count] + tokens[5..<50]
        let alone = try model.makeState()
        try model.prefill(prompt, state: alone)
        var expected = [Array(model.logits)]
        for token in tokens[..<70] { expected.append(Array(try model.decode(token, state: alone))) }

        var other: DecodingState? = cache.makeState(capacity: 512)
        var prefix: CachedPrefix?
        if let other {
            try model.prefill(tokens[..<150], state: other)
            prefix = other.prefix(150)
            // Goes on in the block that is held.
            for _ in 0..<20 { try model.decode(9, state: other) }
        }
        let state = cache.makeState(capacity: 512)
        let held = try #require(prefix)
        let before = cache.freeBlockCount
        state.adopt(held, count: count)
        #expect(cache.freeBlockCount == before, "nothing is copied before it is written to")
        other = nil
        try model.prefill(prompt[count...], state: state)
        var found = [Array(model.logits)]
        for token in tokens[..<70] { found.append(Array(try model.decode(token, state: state))) }
        for (first, second) in zip(found, expected) { #expect(areIdentical(first, second)) }

        // The prefix is as it was.
        let again = cache.makeState(capacity: 512)
        again.adopt(held, count: count)
        try model.prefill(prompt[count...], state: again)
        #expect(areIdentical(Array(model.logits), expected[0]))
    }

    @Test func aPrefixLosesItsLastBlocks() throws {
        let model = try load(.demo, .int4)
        let cache = try model.makeCache()
        let free = cache.freeBlockCount
        var state: DecodingState? = cache.makeState(capacity: 256)
        var prefix: CachedPrefix?
        if let state {
            try model.prefill(try Golden(.demo).tokens[..<130], state: state)
            prefix = state.prefix(130)
        }
        state = nil
        #expect(cache.freeBlockCount == free - 3)
        prefix?.dropLastBlock()
        #expect(prefix?.tokenCount == 128)
        #expect(cache.freeBlockCount == free - 2)
        prefix?.dropLastBlock()
        #expect(prefix?.tokenCount == 64)
        prefix = nil
        #expect(cache.freeBlockCount == free)
    }
}
