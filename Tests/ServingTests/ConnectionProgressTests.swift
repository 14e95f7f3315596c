import Serving
import Testing

@Suite("Where a connection stands")
struct ConnectionProgressTests {
    @Test("a request is measured from its first byte to its last")
    func oneRequest() {
        var progress = ConnectionProgress()
        #expect(progress.limit == .none)
        progress.bytesArrived()
        #expect(progress.limit == .head)
        progress.headArrived(keepsAlive: true)
        #expect(progress.limit == .body)
        progress.requestEnded()
        #expect(progress.limit == .none)
        progress.answerBegins(keepsAlive: true)
        progress.answerEnded()
        #expect(progress == ConnectionProgress())
    }

    @Test("a request behind a running answer isn't measured, because nobody reads it yet")
    func pipelined() {
        var progress = ConnectionProgress()
        progress.headArrived(keepsAlive: true)
        progress.requestEnded()
        progress.bytesArrived()
        #expect(progress.limit == .none)
        #expect(progress.refusal == .later)
        progress.headArrived(keepsAlive: true)
        #expect(progress.limit == .none)
        #expect(progress.refusal == .later)
        progress.answerEnded()
        #expect(progress.limit == .body)
        #expect(progress.refusal == .answer)
    }

    @Test("a client is told once what it did wrong, and never in the middle of an answer")
    func refusals() {
        var progress = ConnectionProgress()
        #expect(progress.refusal == .answer)
        progress.headArrived(keepsAlive: true)
        #expect(progress.refusal == .answer)
        progress.answerBegins(keepsAlive: true)
        #expect(progress.refusal == .close)
        progress.answerEnded()
        #expect(progress.refusal == .close)
    }

    @Test("either side can make a request the connection's last")
    func lastRequest() {
        var asked = ConnectionProgress()
        asked.headArrived(keepsAlive: false)
        #expect(asked.isLast)
        var answered = ConnectionProgress()
        answered.headArrived(keepsAlive: true)
        answered.answerBegins(keepsAlive: false)
        #expect(answered.isLast)
    }
}
