package tollgate.bench;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** Rows in ClickHouse's format RowBinary. */
final class RowBinary extends ByteArrayOutputStream {
    RowBinary() {
        super(1 << 20);
    }

    RowBinary text(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int rest = bytes.length;
        for (; rest >= 0x80; rest >>>= 7) {
            write(rest & 0x7f | 0x80);
        }
        write(rest);
        write(bytes, 0, bytes.length);
        return this;
    }

    RowBinary number(long number) {
        for (int shift = 0; shift < 64; shift += 8) {
            write((int) (number >>> shift));
        }
        return this;
    }
}
