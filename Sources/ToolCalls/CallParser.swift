/// Finds calls in content that arrives in parts.
///
/// What can't be understood as a call comes back as content, to the last byte. What could be the beginning of a block is
/// kept back until more comes, and white space before it too: between content and a call, and between calls, it means
/// nothing. A call comes as a whole, so that nothing of a broken one was said already. Takes time in proportion to the
/// text.
package struct CallParser: Sendable {
    private let syntax: any ToolSyntax
    private let tools: [ToolDefinition]
    private let opening: [UInt8]
    private let closing: [UInt8]
    private var state = State.outside(kept: [])
    private var hasCalls = false

    private enum State {
        /// `kept` is white space, and then a beginning of `opening`; either may be empty.
        case outside(kept: [UInt8])
        case inside(Block)
    }

    private struct Block {
        /// From the white space before `opening` on.
        var bytes: [UInt8]
        /// Where the body begins.
        let start: Int
        /// Where the search for the end goes on, and whether that is within a JSON string, after a backslash.
        var place: Int
        var isInString = false
        var isEscaped = false
    }

    package init(_ syntax: any ToolSyntax, tools: [ToolDefinition]) {
        self.syntax = syntax
        self.tools = tools
        opening = Array(syntax.opening.utf8)
        closing = Array(syntax.closing.utf8)
    }

    package mutating func append(_ text: String) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            switch state {
            case .outside(let kept): rest = look(in: kept + rest, &parts)
            case .inside(var block):
                // Given up here, so that the bytes are appended in place.
                state = .outside(kept: [])
                block.bytes += rest
                rest = search(&block, &parts)
            }
        }
        return parts
    }

    /// What was kept back, when no more comes.
    ///
    /// - Parameter isWhole: the model came to its own end. A block that it left open is then read as if it had closed it.
    package mutating func finish(isWhole: Bool) -> [AnswerPart] {
        defer { state = .outside(kept: []) }
        var parts: [AnswerPart] = []
        switch state {
        case .outside(let kept):
            if !hasCalls || !kept.allSatisfy(Self.isSpace) { add(kept[...], to: &parts) }
        case .inside(let block):
            close(block, bodyEnd: block.bytes.count, end: block.bytes.count, isReadable: isWhole, &parts)
        }
        return parts
    }

    // MARK: Details

    /// Looks for a block's beginning. Returns what stands behind it.
    private mutating func look(in bytes: [UInt8], _ parts: inout [AnswerPart]) -> ArraySlice<UInt8> {
        var place = 0
        while let found = bytes[place...].firstIndex(of: opening[0]) {
            let tail = bytes[found...]
            if tail.starts(with: opening) {
                let spaceStart = Self.startOfSpace(before: found, in: bytes)
                add(bytes[..<spaceStart], to: &parts)
                let start = found - spaceStart + opening.count
                state = .inside(Block(bytes: Array(bytes[spaceStart..<found] + opening), start: start, place: start))
                return tail.dropFirst(opening.count)
            }
            if opening.starts(with: tail) {
                keep(from: Self.startOfSpace(before: found, in: bytes), of: bytes, &parts)
                return []
            }
            place = found + 1
        }
        keep(from: Self.startOfSpace(before: bytes.count, in: bytes), of: bytes, &parts)
        return []
    }

    private mutating func keep(from start: Int, of bytes: [UInt8], _ parts: inout [AnswerPart]) {
        add(bytes[..<start], to: &parts)
        state = .outside(kept: Array(bytes[start...]))
    }

    /// Looks for a block's end. Returns what stands behind it.
    private mutating func search(_ block: inout Block, _ parts: inout [AnswerPart]) -> ArraySlice<UInt8> {
        while !closing.isEmpty, block.place < block.bytes.count {
            let byte = block.bytes[block.place]
            if block.isInString {
                if block.isEscaped {
                    block.isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    block.isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    block.isInString = false
                }
            } else if byte == closing[0] {
                let tail = block.bytes[block.place...]
                if tail.starts(with: closing) {
                    let end = block.place + closing.count
                    close(block, bodyEnd: block.place, end: end, isReadable: true, &parts)
                    state = .outside(kept: [])
                    return block.bytes[end...]
                }
                if closing.starts(with: tail) { break }
            } else if byte == UInt8(ascii: "\""), syntax.hasJSONStrings {
                block.isInString = true
            }
            block.place += 1
        }
        state = .inside(block)
        return []
    }

    private mutating func close(
        _ block: Block, bodyEnd: Int, end: Int, isReadable: Bool, _ parts: inout [AnswerPart]
    ) {
        let body = String(decoding: block.bytes[block.start..<bodyEnd], as: UTF8.self)
        guard isReadable, let found = syntax.parts(of: body, tools: tools) else {
            return add(block.bytes[..<end], to: &parts)
        }
        parts += found
        hasCalls = true
    }

    private func add(_ bytes: ArraySlice<UInt8>, to parts: inout [AnswerPart]) {
        if !bytes.isEmpty { parts.append(.content(String(decoding: bytes, as: UTF8.self))) }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x0A, 0x0D, 0x09].contains(byte) }

    private static func startOfSpace(before end: Int, in bytes: [UInt8]) -> Int {
        var start = end
        while start > 0, isSpace(bytes[start - 1]) { start -= 1 }
        return start
    }
}
