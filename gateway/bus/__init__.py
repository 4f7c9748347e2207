"""The bus room: the meters on their RS-485 lines, read and closed over Modbus RTU."""
