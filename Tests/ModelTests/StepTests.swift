import Container
import Glibc
import Model
import Quantizer
import TestSupport
import Testing

@Suite struct StepTests {
    @Test(arguments: [ConversionType.int4, .int8])
    func quantisedModelsMostlyAgreeWithFloats(_ type: ConversionType) throws {
        let golden = try Golden(.demo)
        let model = try load(.demo, type)
        let trace = try Trace(Trace.Request(tokens: golden.tokens), model: model)
        let vocabulary = model.configuration.vocabularySize
        let agreeing = golden.tokens.indices.count { position in
            let range = position * vocabulary..<(position + 1) * vocabulary
            return indexOfMaximum(trace.logits[range]) == indexOfMaximum(golden.logits[range])
        }
        let agreement = Double(agreeing) / Double(golden.tokens.count)
        print("top-1 agreement of \(type.rawValue) with the reference: \(agreement)")
        #expect(agreement >= (type == .int4 ? 0.85 : 0.95))
        #expect(relativeError(trace.logits, golden.logits) > 1e-4, "nothing was quantised")
    }

    private func indexOfMaximum(_ values: ArraySlice<Float>) -> Int {
        values.indices.max { values[$0] < values[$1] || (values[$0] == values[$1] && $0 > $1) } ?? -1
    }

    @Test func cancellingLeavesTheStateAsItWas() throws {
        let tokens = try Golden(.demo).tokens
        let model = try load(.demo, .int4, chunk: 16, expertSlots: 8)
        let state = try model.makeState()
        try model.prefill(tokens[..<40], state: state)
        try model.decode(tokens[40], state: state)
        let expected = Array(try model.decode(tokens[41], state: state))
        state.truncate(to: 41)

        // Give up at every place where it asks.
        var polls = 0
        var isDone = false
        while !isDone {
            var left = polls
            do {
                try model.decode(tokens[41], state: state) {
                    left -= 1
                    return left < 0
                }
                isDone = true
            } catch {
                #expect(error.code == .cancelled)
                #expect(state.tokenCount == 41)
            }
            polls += 1
        }
        #expect(polls > model.configuration.layerCount, "it asks in every layer")
        #expect(areIdentical(expected, Array(model.logits)))

        for left in [0, 3, 9, 20] {
            var remaining = left
            let error = #expect(throws: ModelError.self) {
                try model.prefill(tokens[42...], state: state) {
                    remaining -= 1
                    return remaining < 0
                }
            }
            #expect(error?.code == .cancelled)
            #expect(state.tokenCount == 42)
        }
        state.truncate(to: 41)
        #expect(areIdentical(expected, Array(try model.decode(tokens[41], state: state))))
    }

    @Test func prefillReportsItsProgress() throws {
        let tokens = try Golden(.demo).tokens
        let model = try load(.demo, .int4, chunk: 64)
        var seen: [Int] = []
        try model.prefill(tokens[...], state: model.makeState(), progress: { seen.append($0) })
        #expect(seen == [64, 128, 160])
    }

    @Test func refusesWhatDoesNotFit() throws {
        let model = try load(.demo, .int4, context: 8)
        let state = try model.makeState()
        try model.prefill([1, 2, 3, 4, 5, 6, 7][...], state: state)
        let tooLong = #expect(throws: ModelError.self) { try model.prefill([8, 9][...], state: state) }
        #expect(tooLong?.code == .contextExceeded)
        #expect(state.tokenCount == 7)
        try model.decode(8, state: state)
        #expect(throws: ModelError.self) { try model.decode(9, state: state) }
    }

    @Test(arguments: [-1, 4096, Int32.max])
    func refusesTokensOutsideTheVocabulary(_ token: Int32) throws {
        let model = try load(.demo, .int4)
        let error = #expect(throws: ModelError.self) { try model.decode(token, state: model.makeState()) }
        #expect(error?.code == .invalidToken)
    }

    @Test func aDamagedExpertFailsItsStepsAndNoOthers() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/damaged.moe"
        let intact = try TestContainers.container(.demo, .int4)
        try copy(try TestContainers.path(.demo, .int4), to: path)

        // The first position's choices come from a run with everything intact, whose least arena reads what it needs.
        let tokens = try Golden(.demo).tokens
        let expected = try Trace(
            Trace.Request(tokens: Array(tokens[..<24])), model: load(intact, expertSlots: 6))

        for record in intact.experts.values where record.key.layer == 2 {
            try flipByte(at: record.offset + UInt64(record.storedByteCount) / 2, of: path)
        }
        let model = try load(ContainerReader(path: path), expertSlots: 6)
        let state = try model.makeState()
        for _ in 0..<3 {
            let error = #expect(throws: ModelError.self) { try model.prefill(tokens[..<24], state: state) }
            #expect(error?.code == .unreadableExpert)
            #expect(error?.description.contains("layers.2.experts") == true)
            #expect(state.tokenCount == 0)
        }

        // Once the storage is well again, so is the same model.
        for record in intact.experts.values where record.key.layer == 2 {
            try flipByte(at: record.offset + UInt64(record.storedByteCount) / 2, of: path)
        }
        let trace = try Trace(Trace.Request(tokens: Array(tokens[..<24])), model: model)
        #expect(areIdentical(trace.logits, expected.logits))
    }

    @Test func aDamagedTensorIsNamed() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/damaged.moe"
        try copy(try TestContainers.path(.demo, .int4), to: path)
        let container = try ContainerReader(path: path)
        let record = try #require(container.tensors[TensorKey(.keyValueUp, layer: 3)])
        try flipByte(at: record.offset + 5, of: path)
        let error = #expect(throws: ModelError.self) { try load(container) }
        #expect(error?.code == .unreadableTensor)
        #expect(error?.description.contains("layers.3.attention.key_value_up") == true)
    }

    private func copy(_ source: String, to path: String) throws {
        let from = try #require(fopen(source, "r"))
        defer { fclose(from) }
        let to = try #require(fopen(path, "w"))
        defer { fclose(to) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = fread(&buffer, 1, buffer.count, from), count > 0 {
            try #require(fwrite(buffer, 1, count, to) == count)
        }
    }

    private func flipByte(at offset: UInt64, of path: String) throws {
        let file = open(path, O_RDWR)
        try #require(file >= 0)
        defer { close(file) }
        var byte: UInt8 = 0
        try #require(pread(file, &byte, 1, off_t(offset)) == 1)
        byte ^= 0x40
        try #require(pwrite(file, &byte, 1, off_t(offset)) == 1)
    }
}
