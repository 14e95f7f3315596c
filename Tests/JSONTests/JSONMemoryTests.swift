import Glibc
import JSON
import TestSupport
import Testing

/// The memory and the processor time that going over a long text takes, whatever it holds.
@Suite("Long JSON texts")
struct JSONMemoryTests {
    enum Shape: String, CaseIterable, Codable, Sendable {
        case numbers
        case emptyArrays
        case names
        case longNames
        case escapes

        var text: [UInt8] {
            let byteCount = 16 << 20
            var text: [UInt8] = []
            text.reserveCapacity(byteCount + 100)
            text += (self == .names || self == .longNames ? "{" : "[").utf8
            var number = 0
            while text.count < byteCount {
                switch self {
                case .numbers: text += "1,".utf8
                case .emptyArrays: text += "[],".utf8
                case .names: text += "\"\(String(number, radix: 36))\":0,".utf8
                case .longNames: text += "\"a name of its own: \(number)\":0,".utf8
                case .escapes: text += #""\u00e9\n","#.utf8
                }
                number += 1
            }
            return text + (self == .names || self == .longNames ? "\"-\":0}" : "0]").utf8
        }
    }

    @Test("take little more than themselves", arguments: Shape.allCases)
    func bounds(shape: Shape) async {
        await #expect(processExitsWith: .success) { [shape] in
            let text = shape.text
            let memory = Self.peakMemory
            let time = clock()
            try StrictJSON.check(text, limits: JSONLimits(byteCount: text.count))
            #expect(Self.peakMemory - memory <= 4 * text.count)
            #expect((clock() - time) / Int(CLOCKS_PER_SEC) < 10)
        }
    }

    private static var peakMemory: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}
