"""What Ray and Spark share. The processes that only read and write import `columns` alone."""
