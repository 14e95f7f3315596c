/// Why a container couldn't be read or written: what, where, what was expected there and found, and what can be done.
package struct ContainerError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The operating system refused: no such file, no permission, no space, a failing disk.
        case system
        /// The file isn't a `.moe` file at all.
        case notContainer
        /// The writer of the file never finished.
        case unfinished
        /// The file is shorter or longer than it says.
        case truncated
        /// A checksum is wrong.
        case damaged
        /// A newer version, or a kind, codec, format, table, layout or role that this one doesn't know.
        case unsupported
        /// A field has a value that no writer produces.
        case malformed
        /// A range overlaps another, leaves its place or isn't aligned.
        case badRange
        case duplicate
        case missing
        case unexpected
        case wrongShape
        case badConfiguration
        /// A value is too large for the format.
        case tooLarge
        /// The target exists and wasn't to be replaced.
        case exists
        /// An earlier writer of this file didn't finish, and what it wrote can be used.
        case resumable
        /// Another process writes the same file.
        case busy
        /// The writer has finished or failed.
        case closed
    }

    package let code: Code
    package let path: String
    /// In bytes from the start of the file.
    package let offset: UInt64?
    package let field: String
    package let expected: String
    package let found: String
    package let advice: String
    /// For `Code.system`.
    package let errno: Int32?

    init(
        _ code: Code, path: String, offset: UInt64? = nil, field: String, expected: String, found: String,
        advice: String? = nil, errno: Int32? = nil
    ) {
        self.code = code
        self.path = path
        self.offset = offset
        self.field = field
        self.expected = expected
        self.found = found
        self.advice = advice ?? code.advice
        self.errno = errno
    }

    package var description: String {
        let place = offset.map { " at byte \($0)" } ?? ""
        return "\(path): \(code.summary): \(field)\(place): expected \(expected), found \(found). \(advice)"
    }
}

extension ContainerError.Code {
    fileprivate var summary: String {
        switch self {
        case .system: "the operating system reports an error"
        case .notContainer: "this isn't a .moe file"
        case .unfinished: "the file was never finished"
        case .truncated: "the file hasn't its full length"
        case .damaged: "the file is damaged"
        case .unsupported: "the file needs something this version doesn't know"
        case .malformed: "the file is malformed"
        case .badRange: "a range of the file is wrong"
        case .duplicate: "something is there twice"
        case .missing: "something is missing"
        case .unexpected: "something is there that doesn't belong to the model"
        case .wrongShape: "an array has the wrong shape"
        case .badConfiguration: "the model's configuration makes no sense"
        case .tooLarge: "something is too large for the format"
        case .exists: "the file exists already"
        case .resumable: "an unfinished conversion to this file is there"
        case .busy: "another process is writing this file"
        case .closed: "the writer is closed"
        }
    }

    fileprivate var advice: String {
        switch self {
        case .system: "Look at the path, its permissions and the disk."
        case .notContainer: "Make one with moe-quantize convert."
        case .unfinished, .missing, .unexpected, .duplicate, .wrongShape, .badConfiguration, .malformed, .badRange:
            "Convert the checkpoint again with moe-quantize."
        case .truncated, .damaged: "Copy the file again from where it came, or convert the checkpoint again."
        case .unsupported: "Use a newer version of moed, or convert the checkpoint again with this one's moe-quantize."
        case .tooLarge: "Such a model can't be stored."
        case .exists: "Choose another name, or ask for the file to be replaced."
        case .resumable: "Go on with it (--resume), or start over (--force)."
        case .busy: "Wait for it, or stop it."
        case .closed: "Look at the first error."
        }
    }
}
