import DemoSupport
import Glibc
import TestSupport
import Testing

@Suite("The token loop")
struct TokenLoopTests {
    private struct Count {
        var allocations: Int
        var retains: Int
        var tokens: Int
    }

    /// What a program of its own counts, whose allocator is a counting one.
    private func counts() throws -> [String: Count] {
        let command = "'\(BuiltProducts.path("allocation-probe"))' '\(try DemoContainer.path())'"
        let pipe = try #require(popen(command, "r"))
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { output += buffer[..<count] }
        #expect(pclose(pipe) == 0)
        var counts: [String: Count] = [:]
        for line in String(decoding: output, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ")
            let numbers = fields.dropFirst().compactMap { Int($0) }
            guard fields.count == 4, numbers.count == 3 else { continue }
            counts[String(fields[0])] = Count(allocations: numbers[0], retains: numbers[1], tokens: numbers[2])
        }
        return counts
    }

    @Test("Nothing is allocated in a thousand tokens, decoded alone or together, nor in choosing them")
    func allocations() throws {
        let counts = try counts()
        for name in ["nothing", "decode", "step", "greedy", "sample"] {
            let count = try #require(counts[name], "the probe says nothing of \(name)")
            #expect(count.tokens >= 500)
            #expect(count.allocations == 0, "\(name)")
        }
        // Choosing counts no references; a step holds its sequences' states and their cache, and no layer counts any.
        #expect(counts["greedy"]?.retains == 0 && counts["sample"]?.retains == 0)
        let decode = try #require(counts["decode"])
        #expect(decode.retains <= 4 * decode.tokens)
        let step = try #require(counts["step"])
        #expect(step.retains <= 6 * step.tokens)
        // Text, events and the reader's tasks.
        let engine = try #require(counts["engine"])
        #expect(engine.allocations / engine.tokens < 30)
    }
}
