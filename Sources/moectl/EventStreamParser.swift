/// Splits a `text/event-stream` into events, however its bytes are cut into pieces.
package struct EventStreamParser {
    package enum Event: Equatable, Sendable {
        case data(String)
        /// A line that begins with a colon: the daemon's sign of life, with its progress.
        case comment(String)
    }

    /// Longer lines than this aren't the daemon's.
    package static let lineLimit = 16 << 20

    private var line: [UInt8] = []
    private var data: [String] = []
    private var endedWithReturn = false

    package init() {}

    package mutating func append(_ bytes: some Sequence<UInt8>) throws(ClientError) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            defer { endedWithReturn = byte == UInt8(ascii: "\r") }
            switch byte {
            case UInt8(ascii: "\n") where endedWithReturn: break
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): finishLine(into: &events)
            default:
                guard line.count < Self.lineLimit else {
                    throw ClientError(.badAnswer, "the daemon sent an event of more than \(Self.lineLimit) bytes")
                }
                line.append(byte)
            }
        }
        return events
    }

    private mutating func finishLine(into events: inout [Event]) {
        defer { line.removeAll(keepingCapacity: true) }
        if line.isEmpty {
            if !data.isEmpty { events.append(.data(data.joined(separator: "\n"))) }
            data.removeAll()
            return
        }
        let name = line.prefix { $0 != UInt8(ascii: ":") }
        var value = line.dropFirst(name.count + 1)
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        let text = String(decoding: value, as: UTF8.self)
        if name.isEmpty {
            events.append(.comment(text))
        } else if name.elementsEqual("data".utf8) {
            data.append(text)
        }
    }
}
