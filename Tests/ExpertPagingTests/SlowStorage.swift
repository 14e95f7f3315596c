import Container
import ExpertPaging
import Foundation
import Synchronization

/// Storage that can be made to wait: it sees every range before a lane reads it.
final class SlowStorage: Sendable {
    struct Range: Equatable {
        let key: ExpertKey
        let bytes: Swift.Range<Int>
    }

    private struct State {
        var ranges: [Range] = []
        /// Whether a range has to wait.
        var mustWait: @Sendable (Range) -> Bool
    }

    private let state: Mutex<State>

    init(_ mustWait: @escaping @Sendable (Range) -> Bool = { _ in false }) {
        state = Mutex(State(mustWait: mustWait))
    }

    var observer: ReadObserver {
        { [self] key, bytes in
            let range = Range(key: key, bytes: bytes)
            state.withLock { $0.ranges.append(range) }
            while state.withLock({ $0.mustWait(range) }) { usleep(200) }
        }
    }

    /// What lanes have begun to read, in that order.
    var ranges: [Range] { state.withLock { $0.ranges } }

    func reads(of key: ExpertKey) -> Int { ranges.count { $0.key == key } }

    /// Lets everything through.
    func release() { state.withLock { $0.mustWait = { _ in false } } }

    /// Whether the condition comes true within ten seconds.
    static func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<20_000 {
            if condition() { return true }
            usleep(500)
        }
        return false
    }
}
